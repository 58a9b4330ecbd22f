import { limitsOf } from "../schema.js";
import { check, type Place, type Problem } from "./check.js";
import { alternativesOf, isNull, resolved, type Schema, type Schemas, skeleton, typeName } from "./schema.js";

/** What all fields of a form have. */
interface Common {
  readonly schema: Schema;
  readonly label: string;
  readonly description: string;
  /** The type and the bounds, in words. */
  readonly hint: string;
  readonly isRequired: boolean;
  readonly isNullable: boolean;
  /** Value that the server assumes if the field is left out, as JSON; undefined if there is none. */
  readonly byDefault: string | undefined;
}

/** A line or several lines of text. */
export interface TextField extends Common {
  readonly kind: "text";
  readonly isLong: boolean;
}

export interface NumberField extends Common {
  readonly kind: "number";
  readonly isInteger: boolean;
}

/** One of several values: enums, literals, booleans. */
export interface ChoiceField extends Common {
  readonly kind: "choice";
  readonly choices: readonly unknown[];
}

export interface ObjectField extends Common {
  readonly kind: "object";
  readonly fields: readonly (readonly [name: string, field: Field])[];
}

export interface ListField extends Common {
  readonly kind: "list";
  readonly item: Field;
}

/** Everything that has no form: unions, dictionaries, recursive types, any JSON. */
export interface JsonField extends Common {
  readonly kind: "json";
  /** Values to start from, by name. */
  readonly templates: readonly (readonly [name: string, value: unknown])[];
}

/** Bytes: the whole of a message. */
export interface BytesField extends Common {
  readonly kind: "bytes";
}

export type Field = TextField | NumberField | ChoiceField | ObjectField | ListField | JsonField | BytesField;

/** What a person has entered into a field. */
export type Draft =
  /** Left out of the request. */
  | { readonly is: "absent" }
  | { readonly is: "null" }
  | { readonly is: "text"; readonly text: string }
  /** Index of a choice. */
  | { readonly is: "choice"; readonly index: number }
  | { readonly is: "object"; readonly entries: Readonly<Record<string, Draft>> }
  | { readonly is: "list"; readonly items: readonly Draft[] };

export const ABSENT: Draft = { is: "absent" };
export const NULL: Draft = { is: "null" };

/** A result: the value, if a request can have one, and what is wrong with the inputs. */
export interface Outcome {
  readonly value: unknown;
  readonly problems: readonly Problem[];
}

/** Number of fields inside each other, after which a field is JSON. */
const DEEPEST = 5;
/** Length of a text that may need several lines. */
const LONG = 200;
/** Number of choices of a select. */
const MOST_CHOICES = 500;

/**
 * Returns the field of a schema.
 *
 * @param label - Name of the field.
 * @param isRequired - True if the request has to have it.
 */
export function fieldOf(schema: Schema, schemas: Schemas, label: string, isRequired: boolean): Field {
  return made(schema, schemas, label, isRequired, []);
}

function made(given: Schema, schemas: Schemas, label: string, isRequired: boolean, within: readonly Schema[]): Field {
  const outer = resolved(given, schemas);
  const parts = alternativesOf(outer);
  const others = parts?.filter((each) => !isNull(each)) ?? [];
  const isNullable = (parts !== undefined && others.length < parts.length) || isNull(outer);
  const beside = {
    ...(outer.description !== undefined && { description: outer.description }),
    ...("default" in outer && { default: outer.default }),
  };
  const schema =
    others.length === 1 && others[0] !== undefined ? { ...resolved(others[0], schemas), ...beside } : outer;
  const common: Common = {
    schema: given,
    label,
    description: schema.description ?? "",
    hint: hintOf(given, schema),
    isRequired,
    isNullable,
    byDefault: "default" in outer && outer.default !== undefined ? JSON.stringify(outer.default) : undefined,
  };
  const choices = choicesOf(schema);
  if (choices !== undefined && choices.length <= MOST_CHOICES) {
    return { ...common, kind: "choice", choices };
  }
  const inner = others.length === 1 && others[0] !== undefined ? target(others[0], schemas) : target(given, schemas);
  const isOpen = !within.includes(inner) && within.length < DEEPEST && alternativesOf(schema) === undefined;
  const path = [...within, inner];
  switch (isOpen ? schema.type : undefined) {
    case "string":
      return { ...common, kind: "text", isLong: (schema.maxLength ?? 0) > LONG };
    case "integer":
    case "number":
      return { ...common, kind: "number", isInteger: schema.type === "integer" };
    case "object":
      if (schema.properties !== undefined && typeof schema.additionalProperties !== "object") {
        const required = new Set(schema.required);
        const fields = Object.entries(schema.properties).map(
          ([name, each]) => [name, made(each, schemas, name, required.has(name), path)] as const,
        );
        return { ...common, kind: "object", fields };
      }
      break;
    case "array":
      if (typeof schema.items === "object" && schema.prefixItems === undefined) {
        return { ...common, kind: "list", item: made(schema.items, schemas, "item", true, path) };
      }
  }
  return { ...common, kind: "json", templates: templatesOf(schema, schemas) };
}

/** Returns the field of a message of bytes. */
export function bytesField(label: string): BytesField {
  return {
    kind: "bytes",
    schema: {},
    label,
    description: "",
    hint: "bytes",
    isRequired: true,
    isNullable: false,
    byDefault: undefined,
  };
}

/** Returns the schema that a reference names: one object for each, by which circles are found. */
function target(schema: Schema, schemas: Schemas): Schema {
  return schema.$ref === undefined ? schema : (schemas[schema.$ref.slice(schema.$ref.lastIndexOf("/") + 1)] ?? schema);
}

function choicesOf(schema: Schema): readonly unknown[] | undefined {
  if (schema.const !== undefined) {
    return [schema.const];
  }
  if (schema.enum !== undefined && schema.enum.length > 0) {
    return schema.enum;
  }
  if (schema.type === "boolean") {
    return [true, false];
  }
  const parts = alternativesOf(schema)?.map((each) => each.const);
  return parts?.every((each) => each !== undefined) ? parts : undefined;
}

function templatesOf(schema: Schema, schemas: Schemas): readonly (readonly [string, unknown])[] {
  const parts = alternativesOf(schema)?.filter((each) => !isNull(each)) ?? [schema];
  return parts.map((each) => [typeName(each), skeleton(each, schemas)] as const);
}

/** Returns the type and the bounds in words: `integer, at least 1`. */
function hintOf(given: Schema, schema: Schema): string {
  const isChoice = choicesOf(schema) !== undefined;
  return [isChoice ? "" : typeName(given), ...limitsOf(schema)].filter(Boolean).join(", ");
}

/** Returns the draft of a field that nothing was entered into. */
export function emptyDraft(field: Field): Draft {
  const example = field.schema.examples?.[0];
  if (example !== undefined && field.isRequired) {
    return draftOf(field, example);
  }
  switch (field.kind) {
    case "object":
      return field.isRequired
        ? { is: "object", entries: Object.fromEntries(field.fields.map(([name, each]) => [name, emptyDraft(each)])) }
        : ABSENT;
    case "list":
      return field.isRequired ? { is: "list", items: [] } : ABSENT;
    case "choice":
      return field.isRequired ? { is: "choice", index: 0 } : ABSENT;
    case "json": {
      const template = field.templates[0]?.[1];
      const hasForm = template !== undefined && template !== null;
      return { is: "text", text: field.isRequired && hasForm ? pretty(template) : "" };
    }
    default:
      return { is: "text", text: "" };
  }
}

/** Returns the draft by which a field has a value. */
export function draftOf(field: Field, value: unknown): Draft {
  if (value === undefined) {
    return field.isRequired ? emptyDraft(field) : ABSENT;
  }
  if (value === null && field.isNullable && field.kind !== "choice") {
    return NULL;
  }
  switch (field.kind) {
    case "object": {
      const given = (typeof value === "object" && value !== null ? value : {}) as Readonly<Record<string, unknown>>;
      return {
        is: "object",
        entries: Object.fromEntries(
          field.fields.map(([name, each]) => [
            name,
            draftOf(each, Object.hasOwn(given, name) ? given[name] : undefined),
          ]),
        ),
      };
    }
    case "list":
      return { is: "list", items: (Array.isArray(value) ? value : []).map((each) => draftOf(field.item, each)) };
    case "choice": {
      const index = field.choices.findIndex((each) => JSON.stringify(each) === JSON.stringify(value));
      return index >= 0 ? { is: "choice", index } : value === null && field.isNullable ? NULL : emptyDraft(field);
    }
    case "json":
      return { is: "text", text: pretty(value) };
    default:
      return { is: "text", text: typeof value === "string" ? value : JSON.stringify(value) };
  }
}

/** Returns the value of a field's draft; undefined if it is left out. */
export function valueOf(field: Field, draft: Draft, schemas: Schemas, at: Place): Outcome {
  const { value, problems } = entered(field, draft, at);
  const isBlocked = problems.some((each) => each.blocks);
  return isBlocked || value === undefined || field.kind === "bytes"
    ? { value, problems }
    : { value, problems: check(field.schema, value, schemas, at) };
}

function entered(field: Field, draft: Draft, at: Place): Outcome {
  if (draft.is === "absent" || (draft.is === "text" && draft.text.trim() === "" && mayBeEmpty(field))) {
    return field.isRequired ? blocked(at, "Required") : { value: undefined, problems: [] };
  }
  if (draft.is === "null") {
    return { value: null, problems: [] };
  }
  switch (field.kind) {
    case "text":
      return { value: draft.is === "text" ? draft.text : "", problems: [] };
    case "number":
      return draft.is === "text" ? numberOf(field, draft.text.trim(), at) : blocked(at, "Required");
    case "choice":
      return { value: draft.is === "choice" ? field.choices[draft.index] : undefined, problems: [] };
    case "json":
      return draft.is === "text" ? parsed(draft.text, at) : blocked(at, "Required");
    case "bytes":
      return draft.is === "text" ? bytesOf(draft.text, at) : blocked(at, "Required");
    case "list": {
      const items = (draft.is === "list" ? draft.items : []).map((each, index) =>
        entered(field.item, each, [...at, index]),
      );
      return { value: items.map((each) => each.value), problems: items.flatMap((each) => each.problems) };
    }
    case "object": {
      const entries = draft.is === "object" ? draft.entries : {};
      const found = field.fields.map(
        ([name, each]) => [name, entered(each, entries[name] ?? ABSENT, [...at, name])] as const,
      );
      const given = found
        .filter(([, { value }]) => value !== undefined)
        .map(([name, { value }]) => [name, value] as const);
      return { value: Object.fromEntries(given), problems: found.flatMap(([, { problems }]) => problems) };
    }
  }
}

/** Returns true if an empty input leaves the field out; a required text may be empty. */
function mayBeEmpty(field: Field): boolean {
  return (field.kind !== "text" && field.kind !== "bytes") || !field.isRequired;
}

function blocked(at: Place, message: string): Outcome {
  return { value: undefined, problems: [{ at, message, blocks: true }] };
}

function numberOf(field: NumberField, text: string, at: Place): Outcome {
  const isNumber = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text) && Number.isFinite(Number(text));
  return isNumber
    ? { value: Number(text), problems: [] }
    : blocked(at, field.isInteger ? "Not a whole number" : "Not a number");
}

/** Returns the value of a JSON text. */
export function parsed(text: string, at: Place): Outcome {
  try {
    return { value: JSON.parse(text) as unknown, problems: [] };
  } catch (error) {
    return blocked(at, `Not JSON: ${(error as Error).message}`);
  }
}

/** Returns the bytes of an input: hexadecimal after `0x`, and otherwise the text in UTF-8. */
export function bytesOf(text: string, at: Place): Outcome {
  if (!/^\s*0x/i.test(text)) {
    return { value: new TextEncoder().encode(text), problems: [] };
  }
  const digits = text.trim().slice(2).replace(/[\s:]/g, "");
  if (!/^([0-9a-f]{2})*$/i.test(digits)) {
    return blocked(at, "Not pairs of hexadecimal digits, such as 0x00 ff");
  }
  return { value: Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16)), problems: [] };
}

/** Returns a value as JSON that people can read. */
export function pretty(value: unknown): string {
  return JSON.stringify(value, null, 2);
}

/** Returns the place of the innermost field of a form that a place of the server's error belongs to. */
export function fieldAt(field: Field, place: Place): Place {
  const [name, ...rest] = place;
  if (name === undefined) {
    return [];
  }
  if (field.kind === "object") {
    const found = field.fields.find(([each]) => each === name)?.[1];
    return found === undefined ? [] : [name, ...fieldAt(found, rest)];
  }
  return field.kind === "list" && typeof name === "number" ? [name, ...fieldAt(field.item, rest)] : [];
}

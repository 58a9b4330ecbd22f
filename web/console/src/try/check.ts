import { nameOf } from "../document.js";
import { plural } from "../format.js";
import { alternativesOf, resolved, type Schema, type Schemas } from "./schema.js";

/** A place in a request, as FastAPI names it: `["body", "seats", 0]`, `["query", "unit"]`. */
export type Place = readonly (string | number)[];

/** A problem with an input. */
export interface Problem {
  readonly at: Place;
  readonly message: string;
  /** True if no request can be made; otherwise, the server decides. */
  readonly blocks?: boolean;
}

const DEEPEST = 64;

/**
 * Returns the differences between a value and its schema. The server has the last word: its own validators may accept
 * more than the schema says, or less.
 */
export function check(schema: Schema, value: unknown, schemas: Schemas, at: Place = []): Problem[] {
  return at.length > DEEPEST ? [] : checked(resolved(schema, schemas), value, schemas, at);
}

function checked(schema: Schema, value: unknown, schemas: Schemas, at: Place): Problem[] {
  const alternatives = alternativesOf(schema);
  if (alternatives !== undefined) {
    return ofUnion(alternatives, value, schemas, at);
  }
  const wrong = (message: string): Problem[] => [{ at, message }];
  if (schema.const !== undefined && !equal(schema.const, value)) {
    return wrong(`Should be ${JSON.stringify(schema.const)}`);
  }
  if (schema.enum !== undefined && !schema.enum.some((each) => equal(each, value))) {
    return wrong(`Should be one of ${schema.enum.map((each) => JSON.stringify(each)).join(", ")}`);
  }
  const types = schema.type === undefined ? undefined : [schema.type].flat();
  if (types !== undefined && !types.some((type) => isOf(type, value))) {
    return wrong(`Should be ${types.map((type) => WORDS[type] ?? type).join(" or ")}`);
  }
  if (typeof value === "number") {
    return ofNumber(schema, value).flatMap(wrong);
  }
  if (typeof value === "string") {
    return ofText(schema, value).flatMap(wrong);
  }
  if (Array.isArray(value)) {
    return ofList(schema, value, schemas, at);
  }
  return typeof value === "object" && value !== null ? ofObject(schema, value as Entries, schemas, at) : [];
}

type Entries = Readonly<Record<string, unknown>>;

const WORDS: Readonly<Record<string, string>> = {
  string: "a text, in double quotes",
  integer: "a whole number",
  number: "a number",
  boolean: "true or false",
  array: "a list, in [ ]",
  object: "an object, in { }",
  null: "null",
};

function isOf(type: string, value: unknown): boolean {
  switch (type) {
    case "null":
      return value === null;
    case "array":
      return Array.isArray(value);
    case "integer":
      return Number.isInteger(value);
    case "object":
      return typeof value === "object" && value !== null && !Array.isArray(value);
    default:
      return typeof value === type;
  }
}

/** Returns the problems of the alternative that fits best. */
function ofUnion(alternatives: readonly Schema[], value: unknown, schemas: Schemas, at: Place): Problem[] {
  let best: Problem[] | undefined;
  for (const each of alternatives) {
    const found = check(each, value, schemas, at);
    if (found.length === 0) {
      return [];
    }
    // The one that objects deepest inside, and then least often: the others are of another type.
    if (
      best === undefined ||
      depth(found) > depth(best) ||
      (depth(found) === depth(best) && found.length < best.length)
    ) {
      best = found;
    }
  }
  const names = alternatives.map(nameOf);
  const isVague =
    best !== undefined && best.every((each) => each.at.length === at.length) && names.every((name) => name !== null);
  return isVague ? [{ at, message: `Should be one of ${names.join(", ")}` }] : (best ?? []);
}

function depth(problems: readonly Problem[]): number {
  return Math.max(...problems.map((each) => each.at.length));
}

function ofNumber(schema: Schema, value: number): string[] {
  return [
    schema.minimum !== undefined && value < schema.minimum && `Should be at least ${schema.minimum}`,
    schema.maximum !== undefined && value > schema.maximum && `Should be at most ${schema.maximum}`,
    schema.exclusiveMinimum !== undefined &&
      value <= schema.exclusiveMinimum &&
      `Should be more than ${schema.exclusiveMinimum}`,
    schema.exclusiveMaximum !== undefined &&
      value >= schema.exclusiveMaximum &&
      `Should be less than ${schema.exclusiveMaximum}`,
    Number.isInteger(value) && !Number.isSafeInteger(value) && "Is too large for a page: its last digits may change",
  ].filter((each) => each !== false);
}

function ofText(schema: Schema, value: string): string[] {
  const length = schema.minLength === undefined && schema.maxLength === undefined ? 0 : [...value].length;
  return [
    length < (schema.minLength ?? 0) && `Should have at least ${plural(schema.minLength!, "character")}`,
    length > (schema.maxLength ?? Infinity) && `Should have at most ${plural(schema.maxLength!, "character")}`,
    schema.pattern !== undefined && !matches(schema.pattern, value) && `Should match ${schema.pattern}`,
  ].filter((each) => each !== false);
}

/** Returns whether a text has a pattern, which may be one that only Python understands. */
function matches(pattern: string, value: string): boolean {
  try {
    return new RegExp(pattern, "u").test(value);
  } catch {
    return true;
  }
}

function ofList(schema: Schema, value: readonly unknown[], schemas: Schemas, at: Place): Problem[] {
  const { minItems = 0, maxItems = Infinity, prefixItems = [] } = schema;
  const count = [
    value.length < minItems && `Should have at least ${plural(minItems, "item")}`,
    value.length > maxItems && `Should have at most ${plural(maxItems, "item")}`,
  ].filter((each) => each !== false);
  const items = value.flatMap((each, index) => {
    const of = prefixItems[index] ?? schema.items;
    return typeof of === "object" ? check(of, each, schemas, [...at, index]) : [];
  });
  return [...count.map((message) => ({ at, message })), ...items];
}

function ofObject(schema: Schema, value: Entries, schemas: Schemas, at: Place): Problem[] {
  const missing = (schema.required ?? []).filter((name) => !Object.hasOwn(value, name));
  const inside = Object.entries(value).flatMap(([name, each]) => {
    const more = typeof schema.additionalProperties === "object" ? schema.additionalProperties : undefined;
    const of = Object.hasOwn(schema.properties ?? {}, name) ? schema.properties![name] : more;
    if (of === undefined) {
      return schema.additionalProperties === false ? [{ at: [...at, name], message: "Is not a field" }] : [];
    }
    return check(of, each, schemas, [...at, name]);
  });
  return [...missing.map((name) => ({ at: [...at, name], message: "Required" })), ...inside];
}

function equal(a: unknown, b: unknown): boolean {
  return a === b || (typeof a === "object" && typeof b === "object" && JSON.stringify(a) === JSON.stringify(b));
}

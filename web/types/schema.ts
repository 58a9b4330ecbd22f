/**
 * From an AsyncAPI document to one JSON schema: that of an object with the types of all paths.
 */
import { naming } from "./names.ts";
import type { Channel, Details, Document, Parameter, Schema } from "./document.ts";

type Plain = Record<string, unknown>;

const REF = "#/components/schemas/";

/** The schema of `Paths`, and the paths that are left out of it. */
export interface PathsSchema {
  readonly schema: Plain;
  /** Paths with bytes, which the browser client cannot receive or send. */
  readonly left: readonly string[];
}

/**
 * Returns the schema of the paths.
 *
 * @param title - Name of its type, which no other one has.
 */
export function pathsOf(document: Document, title: string): PathsSchema {
  const schemas = document.components?.schemas ?? {};
  const nameOf = naming(Object.keys(schemas), [title]);
  const rewrite = new Rewrite(schemas, nameOf);
  const channels = Object.values(document.channels ?? {}).flatMap((each) => (each["x-wirespeed"] ? [{ ...each, details: each["x-wirespeed"] }] : []));
  const [left, shown] = parted(channels, ({ details }) => hasBytes(details));
  const entries = shown
    .map((each) => [each.details.channel, rewrite.entry(each, each.details)] as const)
    .sort(([one], [other]) => (one < other ? -1 : 1));
  const definitions = Object.entries(schemas).map(([name, schema]) => [nameOf(name), rewrite.schema(schema)] as const);
  return {
    schema: {
      ...object(entries.map(([name, type]) => [name, type, true])),
      description: "The paths of the app, for `connect<Paths>()`.",
      definitions: Object.fromEntries(definitions),
    },
    left: left.map(({ details }) => details.channel).sort(),
  };
}

function hasBytes({ encoding, messageEncoding }: Details): boolean {
  return encoding === "bytes" || messageEncoding === "bytes";
}

function parted<T>(all: readonly T[], is: (each: T) => boolean): [T[], T[]] {
  return [all.filter(is), all.filter((each) => !is(each))];
}

/** Returns the schema of an object with exactly these properties: their names, schemas, and whether they are required. */
function object(properties: readonly (readonly [string, Plain, boolean])[]): Plain {
  return {
    type: "object",
    properties: Object.fromEntries(properties.map(([name, type]) => [name, type])),
    required: properties.filter(([, , isRequired]) => isRequired).map(([name]) => name),
    additionalProperties: false,
  };
}

/** Keywords with one schema, with a list of them, and with schemas by names. */
const ONE = ["additionalProperties"];
const LISTS = ["anyOf", "oneOf", "allOf"];
const NAMED = ["properties", "patternProperties"];

/** Keywords that do not have schemas. All others are left out: they have no part in a type. */
const COMMENTS = ["description", "deprecated"];
const PLAIN = ["type", "required", "enum", "const", ...COMMENTS];

class Rewrite {
  constructor(
    private readonly schemas: Readonly<Record<string, Schema>>,
    private readonly nameOf: (name: string) => string,
  ) {}

  /** Returns the schema of a path's types. */
  entry(channel: Channel, details: Details): Plain {
    const { kind, parameters = [], intake, by, keep, presence, history, value, message, errors = {} } = details;
    const isWatched = kind === "feed" || kind === "topic";
    const hasHistory = Boolean(by) || (history === true && typeof keep === "object" && keep !== null);
    const takes = message !== undefined && message !== null && intake !== "nothing";
    const properties: [string, Plain | undefined][] = [
      ["kind", { const: kind }],
      ["parameters", parameters.length > 0 ? this.#parameters(parameters) : undefined],
      ["message", takes ? this.schema(message) : undefined],
      ["duplex", kind === "stream" && intake === "all" ? { const: true } : undefined],
      [isWatched && by ? "row" : "value", this.schema(value ?? (kind === "call" ? { type: "null" } : true))],
      ["errors", this.#errors(errors)],
      ["presence", isWatched && presence ? { const: true } : undefined],
      ["history", isWatched && hasHistory ? { const: true } : undefined],
    ];
    return {
      ...object(properties.flatMap(([name, type]) => (type === undefined ? [] : [[name, type, true] as const]))),
      ...described(documentation(channel)),
      ...(channel["x-wirespeed"]?.deprecated && { deprecated: true }),
    };
  }

  #parameters(parameters: readonly Parameter[]): Plain {
    return object(
      parameters.map(({ name, required, schema = true, default: otherwise, description }) => {
        const type = withoutNull(this.schema(schema));
        const by = otherwise === undefined || otherwise === null ? "" : `Default: ${JSON.stringify(otherwise)}`;
        const text = [description ?? (type["description"] as string | undefined), by].filter(Boolean).join("\n\n");
        return [name, commented(type, text), required === true];
      }),
    );
  }

  #errors(errors: NonNullable<Details["errors"]>): Plain | undefined {
    const known = Object.entries(errors).filter(([status]) => /^\d+$/.test(status));
    return known.length === 0
      ? undefined
      : object(known.map(([status, { schema, description }]) => [status, commented(this.#detail(schema ?? true), description), true]));
  }

  /** Returns the schema of an error's detail: the body of the response is an object with it, unless the app says otherwise. */
  #detail(schema: Schema): Plain {
    const name = typeof schema === "object" && typeof schema["$ref"] === "string" ? nameIn(schema["$ref"]) : undefined;
    const target = name === undefined ? schema : this.schemas[name];
    const properties = typeof target === "object" ? (target["properties"] as Record<string, Schema> | undefined) : undefined;
    return this.schema(properties?.["detail"] ?? schema);
  }

  /** Returns a schema as the generator of types needs it. */
  schema(schema: Schema): Plain {
    if (typeof schema === "boolean") {
      return { tsType: schema ? "unknown" : "never" };
    }
    if (typeof schema["$ref"] === "string") {
      return this.#reference(schema["$ref"], schema);
    }
    const plain: Plain = {};
    for (const [keyword, value] of Object.entries(schema)) {
      if (PLAIN.includes(keyword)) {
        plain[keyword] = value;
      } else if (ONE.includes(keyword)) {
        plain[keyword] = typeof value === "boolean" ? value : this.schema(value as Schema);
      } else if (LISTS.includes(keyword)) {
        plain[keyword] = (value as Schema[]).map((each) => this.schema(each));
      } else if (NAMED.includes(keyword)) {
        plain[keyword] = this.#named(value as Record<string, Schema>);
      }
    }
    const type = { ...plain, ...this.#items(schema) };
    return Object.keys(type).every((keyword) => COMMENTS.includes(keyword)) ? { ...type, tsType: "unknown" } : type;
  }

  #named(schemas: Readonly<Record<string, Schema>>): Plain {
    return Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, this.schema(schema)]));
  }

  #reference(ref: string, { description, deprecated }: { readonly [keyword: string]: unknown }): Plain {
    const name = nameIn(ref);
    if (name === undefined || !Object.hasOwn(this.schemas, name)) {
      return { tsType: "unknown" };
    }
    const plain = commented({ $ref: `#/definitions/${this.nameOf(name)}` }, description as string | undefined);
    return deprecated === true ? { allOf: [plain], deprecated } : plain;
  }

  /** Returns the keywords of an array. A tuple has its length; the length of another array is not part of its type. */
  #items({ type, prefixItems, items, additionalItems }: { readonly [keyword: string]: unknown }): Plain {
    // The places of a tuple, in the words of newer dialects, and in those of the dialect of AsyncAPI.
    const [places, others] = Array.isArray(items) ? [items, additionalItems] : [prefixItems, items];
    if (Array.isArray(places)) {
      const rest = others === undefined || others === false ? false : this.schema(others as Schema);
      return { items: (places as Schema[]).map((each) => this.schema(each)), additionalItems: rest };
    }
    return type === "array" || items !== undefined ? { items: this.schema((items ?? true) as Schema) } : {};
  }
}

/** Returns the name of the schema that a reference leads to; undefined if it leads elsewhere. */
function nameIn(ref: string): string | undefined {
  return ref.startsWith(REF) ? ref.slice(REF.length).replaceAll("~1", "/").replaceAll("~0", "~") : undefined;
}

/** Returns a type with a comment. A reference with other keywords would become a copy of what it refers to. */
function commented(type: Plain, text: string | undefined): Plain {
  const comment = described(text);
  return "$ref" in type && comment.description !== undefined ? { allOf: [type], ...comment } : { ...type, ...comment };
}

function described(text: string | undefined): { description?: string } {
  return text?.trim() ? { description: text.trim() } : {};
}

/** Returns the summary and the description, or the description alone if it begins with the summary. */
function documentation({ summary = "", description = "" }: Channel): string {
  const words = (text: string): string => text.replace(/\s+/g, " ").trim();
  return words(description).startsWith(words(summary)) ? description : `${summary}\n\n${description}`;
}

/** Returns a type without null: a URL cannot carry it, and a parameter without a value is left out. */
function withoutNull(schema: Plain): Plain {
  const { anyOf, ...others } = schema;
  if (!Array.isArray(anyOf)) {
    return Array.isArray(schema["enum"]) ? { ...schema, enum: schema["enum"].filter((each) => each !== null) } : schema;
  }
  const rest = (anyOf as Plain[]).filter(({ type }) => type !== "null");
  return rest.length === 1 ? { ...rest[0], ...others } : { ...others, anyOf: rest };
}

import { nameOf, type Schema } from "../document.js";
import { typeOf } from "../schema.js";

export type { Schema };

/** The named schemas of a document. */
export type Schemas = Readonly<Record<string, Schema>>;

/** Number of references that may lead to another one before they are given up as a circle. */
const MOST_REFERENCES = 32;

/** Returns a schema without a reference at its top; what stands beside a reference takes precedence. */
export function resolved(schema: Schema, schemas: Schemas): Schema {
  let found = schema;
  for (let count = 0; count < MOST_REFERENCES; count += 1) {
    const only = found.allOf?.length === 1 ? found.allOf[0] : undefined;
    const name = nameOf(found);
    if (name !== null) {
      const { $ref: _, ...beside } = found;
      found = { ...schemas[name], ...beside };
    } else if (only !== undefined) {
      const { allOf: _, ...beside } = found;
      found = { ...only, ...beside };
    } else {
      return found;
    }
  }
  return {};
}

/** Returns the alternatives of a union; undefined if the schema is not one. */
export function alternativesOf(schema: Schema): readonly Schema[] | undefined {
  return schema.anyOf ?? schema.oneOf;
}

/** Returns true if null, and nothing else, fits. */
export function isNull(schema: Schema): boolean {
  return schema.type === "null" || schema.const === null;
}

/** Characters of a type. */
const LONG = 80;

/** Returns a type in words, as the console writes types: `Quote[]`, `number | null`. */
export function typeName(schema: Schema): string {
  const text = typeOf(schema)
    .map((piece) => (typeof piece === "string" ? piece : piece.name))
    .join("");
  return text.length > LONG ? `${text.slice(0, LONG)}…` : text;
}

/** Returns a value that has the form of a schema, to start from. */
export function skeleton(schema: Schema, schemas: Schemas, depth = 0): unknown {
  const found = resolved(schema, schemas);
  const first = alternativesOf(found)?.find((each) => !isNull(each));
  const given = [found.default, found.examples?.[0], found.const, found.enum?.[0]].find((each) => each !== undefined);
  if (given !== undefined) {
    return given;
  }
  if (first !== undefined) {
    return skeleton(first, schemas, depth + 1);
  }
  switch (typeof found.type === "string" ? found.type : found.type?.[0]) {
    case "string":
      return "";
    case "integer":
    case "number":
      return found.minimum ?? 0;
    case "boolean":
      return false;
    case "array":
      return (found.prefixItems ?? []).map((each) => skeleton(each, schemas, depth + 1));
    case "object": {
      const required = depth > 8 ? [] : (found.required ?? []);
      const properties = found.properties ?? {};
      return Object.fromEntries(required.map((name) => [name, skeleton(properties[name] ?? {}, schemas, depth + 1)]));
    }
    default:
      return null;
  }
}

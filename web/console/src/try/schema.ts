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

/** Number of schemas inside each other of which a value to start from has parts. */
const DEEPEST = 6;

/**
 * Returns a value that has the form of a schema, to start from. Where a type contains itself, it has null.
 *
 * @param within - Names of the schemas around it; empty for those without one.
 */
export function skeleton(schema: Schema, schemas: Schemas, within: readonly string[] = []): unknown {
  const name = nameOf(schema) ?? "";
  if (within.length > DEEPEST || (name !== "" && within.includes(name))) {
    return null;
  }
  const inside = (each: Schema): unknown => skeleton(each, schemas, [...within, name]);
  const found = resolved(schema, schemas);
  const first = alternativesOf(found)?.find((each) => !isNull(each));
  const given = [found.default, found.examples?.[0], found.const, found.enum?.[0]].find((each) => each !== undefined);
  if (given !== undefined) {
    return given;
  }
  if (first !== undefined) {
    return inside(first);
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
      return (found.prefixItems ?? []).map(inside);
    case "object":
      return Object.fromEntries((found.required ?? []).map((each) => [each, inside(found.properties?.[each] ?? {})]));
    default:
      return null;
  }
}

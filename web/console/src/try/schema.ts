import type { Schema } from "../document.js";

export type { Schema };

/** The named schemas of a document. */
export type Schemas = Readonly<Record<string, Schema>>;

/** Number of references that may lead to another one before they are given up as a circle. */
const MOST_REFERENCES = 32;

/** Returns the name that a reference has. */
export function nameOf(reference: string): string {
  const last = reference.slice(reference.lastIndexOf("/") + 1);
  return decoded(last).replaceAll("~1", "/").replaceAll("~0", "~");
}

/** Returns a schema without a reference at its top; what stands beside a reference takes precedence. */
export function resolved(schema: Schema, schemas: Schemas): Schema {
  let found = schema;
  for (let count = 0; count < MOST_REFERENCES; count += 1) {
    const only = found.allOf?.length === 1 ? found.allOf[0] : undefined;
    if (found.$ref !== undefined) {
      const { $ref, ...beside } = found;
      found = { ...schemas[nameOf($ref)], ...beside };
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

/** Returns the words for a type: `integer`, `Quote`, `string or null`. */
export function typeName(schema: Schema, schemas: Schemas): string {
  if (schema.$ref !== undefined) {
    return nameOf(schema.$ref).replace(/-(Input|Output)$/, "");
  }
  const found = resolved(schema, schemas);
  const alternatives = alternativesOf(found);
  if (alternatives !== undefined) {
    return [...new Set(alternatives.map((each) => typeName(each, schemas)))].join(" or ");
  }
  if (found.const !== undefined) {
    return JSON.stringify(found.const);
  }
  if (found.type === "array" && typeof found.items === "object") {
    return `list of ${typeName(found.items, schemas)}`;
  }
  const type = typeof found.type === "string" ? found.type : found.type?.join(" or ");
  return found.format ?? (type === "object" ? (found.title ?? type) : (type ?? "any JSON"));
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

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

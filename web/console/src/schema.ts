// JSON Schema as types that people read: `Quote[]`, `"BTC" | "ETH"`, `number | null`.

import { nameOf, resolve, type AsyncApi, type Schema } from "./document.js";
import { plural } from "./format.js";

/** A piece of a type: text, or the name of another type, which is shown as a link. */
export type Piece = string | { name: string };

/** Returns a schema as a type. */
export function typeOf(schema: Schema | boolean | undefined): Piece[] {
  if (schema === undefined || schema === true) {
    return ["any"];
  }
  if (schema === false) {
    return ["never"];
  }
  const name = nameOf(schema);
  if (name !== null) {
    return [{ name }];
  }
  if (schema.const !== undefined) {
    return [JSON.stringify(schema.const)];
  }
  if (schema.enum) {
    return [schema.enum.map((each) => JSON.stringify(each)).join(" | ") || "never"];
  }
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) {
    return joined(choices.map(typeOf), " | ");
  }
  if (schema.allOf) {
    return joined(schema.allOf.map(typeOf), " & ");
  }
  if (Array.isArray(schema.type)) {
    return joined(schema.type.map((type) => plain({ ...schema, type })), " | ");
  }
  return plain(schema);
}

function plain(schema: Schema): Piece[] {
  switch (schema.type) {
    case "array":
      return arrayOf(schema);
    case "object":
      return objectOf(schema);
    case "string":
      return [schema.format ? `string (${schema.format})` : "string"];
    case undefined:
      return [schema.properties ? objectOf(schema) : "any"].flat();
    default:
      return [String(schema.type)];
  }
}

function arrayOf({ prefixItems, items }: Schema): Piece[] {
  if (prefixItems) {
    return ["[", ...joined(prefixItems.map(typeOf), ", "), "]"];
  }
  const inner = typeOf(items);
  const isSimple = inner.length === 1 && !(typeof inner[0] === "string" && /[|&]/.test(inner[0]));
  return isSimple ? [...inner, "[]"] : ["(", ...inner, ")[]"];
}

function objectOf({ properties, required = [], additionalProperties }: Schema): Piece[] {
  if (properties) {
    const fields = Object.entries(properties).map(([name, each]): Piece[] => [
      `${name}${required.includes(name) ? "" : "?"}: `,
      ...typeOf(each),
    ]);
    return fields.length ? ["{ ", ...joined(fields, ", "), " }"] : ["{}"];
  }
  return additionalProperties === undefined || typeof additionalProperties === "boolean"
    ? ["object"]
    : ["{ [key]: ", ...typeOf(additionalProperties), " }"];
}

function joined(parts: Piece[][], separator: string): Piece[] {
  return parts.flatMap((part, index) => (index ? [separator, ...part] : part));
}

/** Returns the limits of a value in words: "≥ 0", "at most 20 characters". */
export function limitsOf(schema: Schema): string[] {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf, minLength, maxLength, pattern } = schema;
  const { minItems, maxItems, uniqueItems } = schema;
  const said = (value: unknown, words: string): string[] => (value === undefined ? [] : [words]);
  const own = [
    ...said(minimum, `≥ ${minimum}`),
    ...said(exclusiveMinimum, `> ${exclusiveMinimum}`),
    ...said(maximum, `≤ ${maximum}`),
    ...said(exclusiveMaximum, `< ${exclusiveMaximum}`),
    ...said(multipleOf, `a multiple of ${multipleOf}`),
    ...said(minLength, `at least ${plural(minLength!, "character")}`),
    ...said(maxLength, `at most ${plural(maxLength!, "character")}`),
    ...said(pattern, `matches ${pattern}`),
    ...said(minItems, `at least ${plural(minItems!, "item")}`),
    ...said(maxItems, `at most ${plural(maxItems!, "item")}`),
    ...(uniqueItems ? ["no duplicates"] : []),
  ];
  return [...own, ...[schema.anyOf, schema.oneOf, schema.allOf].flatMap((all) => (all ?? []).flatMap(limitsOf))];
}

/** Returns the names of all types that a schema uses, directly or through others, in the order of their use. */
export function namesIn(schema: Schema | null | undefined, document: AsyncApi): string[] {
  const names: string[] = [];
  const pending: unknown[] = [schema];
  for (let each = pending.shift(); each !== undefined || pending.length; each = pending.shift()) {
    if (typeof each !== "object" || each === null) {
      continue;
    }
    const name = nameOf(each as Schema);
    if (name !== null && !names.includes(name)) {
      names.push(name);
      pending.push(resolve(each as Schema, document));
    }
    for (const [key, inner] of Object.entries(each)) {
      // Examples and defaults are values, and may look like schemas.
      if (!["default", "examples", "const", "enum", "discriminator"].includes(key)) {
        pending.push(inner);
      }
    }
  }
  return names;
}

/** Returns the fields of an object's schema, or null if it is not an object with named fields. */
export function fieldsOf(schema: Schema): { name: string; schema: Schema; isRequired: boolean }[] | null {
  const { properties, required = [] } = schema;
  if (!properties) {
    return null;
  }
  return Object.entries(properties).map(([name, each]) => ({ name, schema: each, isRequired: required.includes(name) }));
}

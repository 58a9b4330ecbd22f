import { expect, test, vi } from "vitest";
import { definitionsOf, load, resolve, type AsyncApi, type Schema } from "../../console/src/document.js";
import { fieldsOf, limitsOf, namesIn, typeOf } from "../../console/src/schema.js";
import { documentOf, serve } from "./place.js";

const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });

function written(schema: Schema | boolean): string {
  return typeOf(schema).map((piece) => (typeof piece === "string" ? piece : `<${piece.name}>`)).join("");
}

test.each<[Schema | boolean, string]>([
  [{ type: "integer" }, "integer"],
  [{ type: "string", format: "date-time" }, "string (date-time)"],
  [{ enum: ["BTC", "ETH"], type: "string" }, '"BTC" | "ETH"'],
  [{ const: 1 }, "1"],
  [{ anyOf: [{ type: "number" }, { type: "null" }] }, "number | null"],
  [{ type: ["string", "null"] }, "string | null"],
  [{ type: "array", items: ref("Quote") }, "<Quote>[]"],
  [{ type: "array", items: { anyOf: [{ type: "integer" }, ref("Quote")] } }, "(integer | <Quote>)[]"],
  [{ type: "array", items: { enum: ["a", "b"] } }, '("a" | "b")[]'],
  [{ type: "array", prefixItems: [{ type: "number" }, { type: "string" }] }, "[number, string]"],
  [{ type: "object", additionalProperties: ref("Quote") }, "{ [key]: <Quote> }"],
  [{ type: "object", properties: { a: { type: "integer" }, b: ref("Quote") }, required: ["a"] }, "{ a: integer, b?: <Quote> }"],
  [{ type: "object" }, "object"],
  [ref("Reading_float_-Input"), "<Reading_float_-Input>"],
  [{}, "any"],
  [true, "any"],
])("%o reads as %s", (schema, type) => {
  expect(written(schema)).toBe(type);
});

test("limits are words, also those within a choice", () => {
  expect(limitsOf({ type: "integer", minimum: 0, exclusiveMaximum: 10 })).toEqual(["≥ 0", "< 10"]);
  expect(limitsOf({ anyOf: [{ type: "string", maxLength: 80 }, { type: "null" }] })).toEqual(["at most 80 characters"]);
  expect(limitsOf({ type: "string", minLength: 1, maxLength: 2 })).toEqual(["at least 1 character", "at most 2 characters"]);
  expect(limitsOf({ type: "array", minItems: 1, maxItems: 1 })).toEqual(["at least 1 item", "at most 1 item"]);
});

const document: AsyncApi = {
  ...documentOf(),
  components: {
    schemas: {
      Tree: { type: "object", properties: { children: { type: "array", items: ref("Tree") }, leaf: ref("Leaf") } },
      Leaf: { type: "object", properties: { size: { type: "integer", default: ref("Nothing") } } },
    },
  },
};

test("the types that a schema uses are found once each, of a type that contains itself, too", () => {
  expect(namesIn({ type: "array", items: ref("Tree") }, document)).toEqual(["Tree", "Leaf"]);
  expect(namesIn(null, document)).toEqual([]);
});

test("a reference is followed, and what is written beside it is kept", () => {
  const schema = resolve({ ...ref("Leaf"), description: "The newest." }, document);
  expect(fieldsOf(schema)?.map(({ name, isRequired }) => [name, isRequired])).toEqual([["size", false]]);
  expect(schema.description).toBe("The newest.");
  expect(resolve(ref("Missing"), document)).toEqual(ref("Missing"));
});

test("a tuple and a deprecated definition are read as AsyncAPI writes them", async () => {
  const made = documentOf(["/price", "feed", "The price."], ["/old", "feed", ""]);
  const [price, old] = Object.values(made.channels);
  Object.assign(price!["x-wirespeed"]!, { value: { type: "array", items: [{ type: "number" }, { type: "string" }], additionalItems: false } });
  Object.assign(old!["x-wirespeed"]!, { deprecated: true });
  serve(made);
  const read = definitionsOf(await load());
  vi.unstubAllGlobals();
  expect(written(read[0]!.value)).toBe("[number, string]");
  expect(read.map(({ deprecated }) => deprecated)).toEqual([false, true]);
});

test("a channel without our extension is left out: another tool may have added it", () => {
  const mixed = documentOf(["/price", "feed", "The price."]);
  mixed.channels["other"] = { address: "other" };
  expect(definitionsOf(mixed).map(({ path, kind, summary }) => [path, kind, summary])).toEqual([["/price", "feed", "The price."]]);
});

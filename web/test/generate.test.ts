// @vitest-environment node
import { readFileSync } from "node:fs";
import { compile } from "json-schema-to-typescript";
import { describe, expect, test } from "vitest";
import { documentIn, type Document } from "../types/document.ts";
import { generate } from "../types/generate.ts";
import { layout } from "../types/layout.ts";
import { naming } from "../types/names.ts";

const read = (file: string): string => readFileSync(new URL(file, import.meta.url), "utf8");
const document = documentIn(read("asyncapi.json"), "asyncapi.json");

/** Returns the types of a document with one feed whose values have a schema. */
async function valueOf(schema: unknown, schemas: object = {}): Promise<string> {
  const channels = { feed: { "x-wirespeed": { kind: "feed", channel: "feed", value: schema } } };
  const { text } = await generate({ asyncapi: "3.0.0", channels, components: { schemas } } as Document);
  return /^ {4}value: ([^]*?);\n {2}}/m.exec(text)?.[1] ?? text;
}

describe("generated types", () => {
  test("are those that the tests of types use", async () => {
    expect((await generate(document)).text).toBe(read("generated.ts"));
  });

  test("do not depend on the order of the document", async () => {
    const turned = JSON.parse(JSON.stringify(document)) as { channels: object; components: { schemas: object } };
    turned.channels = Object.fromEntries(Object.entries(turned.channels).reverse());
    turned.components.schemas = Object.fromEntries(Object.entries(turned.components.schemas).reverse());
    expect(await generate(turned as unknown as Document)).toEqual(await generate(document));
  });

  test("leave out what the browser client cannot receive, and name it", async () => {
    expect((await generate(document)).left).toEqual(["raw", "rawin"]);
  });

  test("are an empty interface for an app without definitions", async () => {
    expect((await generate({ asyncapi: "3.0.0" })).text).toContain("export interface Paths {\n}");
  });

  test.each([
    [true, "unknown"],
    [{ title: "Anything" }, "unknown"],
    [{ type: "array" }, "unknown[]"],
    [{ type: "array", items: { type: "integer" }, minItems: 1, maxItems: 3 }, "number[]"],
    [{ type: "array", prefixItems: [{ type: "string" }, { type: "null" }], minItems: 2, maxItems: 2 }, "[string, null]"],
    [{ type: "array", items: [{ type: "string" }, { type: "null" }], additionalItems: false }, "[string, null]"],
    [{ type: "array", items: [{ type: "string" }], additionalItems: { type: "null" } }, "[string, ...(null)[]]"],
    [{ type: "array", items: { anyOf: [{ type: "string" }, { type: "integer" }] } }, "(string | number)[]"],
    [{ anyOf: [{ type: "array", items: { enum: ["(", ")"] } }, { type: "null" }] }, '("(" | ")")[] | null'],
    [{ type: "object", additionalProperties: { type: "number" } }, "{\n      [k: string]: number;\n    }"],
    [{ type: "object", properties: { a: { const: 1 } }, required: ["a"] }, "{\n      a: 1;\n    }"],
    [{ type: "string", tsType: "never", title: "T", $id: "x", id: "y" }, "string"],
    [{ $ref: "#/components/schemas/Missing" }, "unknown"],
    [{ $ref: "#/components/schemas/constructor" }, "unknown"],
    [{ $ref: "https://example.com/schema.json" }, "unknown"],
  ])("of %o are %s", async (schema, type) => {
    expect(await valueOf(schema)).toBe(type);
  });

  test("of parameters have no null, which a URL cannot carry", async () => {
    const nullable = [{ anyOf: [{ type: "integer" }, { type: "null" }] }, { enum: ["a", null] }];
    const parameters = nullable.map((schema, at) => ({ name: `p${at}`, in: "query", schema }));
    const { text } = await generate({ asyncapi: "3.0.0", channels: { x: { "x-wirespeed": { kind: "call", channel: "x", parameters } } } } as unknown as Document);
    expect(text).toContain('p0?: number;\n      p1?: "a";\n');
  });

  test("may refer to themselves", async () => {
    const ref = { $ref: "#/components/schemas/a~1b" };
    const schemas = { "a/b": { anyOf: [{ type: "array", items: ref }, { type: "object", additionalProperties: ref }, { type: "null" }] } };
    const { text } = await generate({ asyncapi: "3.0.0", components: { schemas }, channels: { x: { "x-wirespeed": { kind: "call", channel: "x", value: ref } } } } as Document);
    expect(text).toContain("value: AB;");
    expect(text).toContain("export type AB = (AB[] | {\n  [k: string]: AB;\n} | null);\n");
  });

  test("cannot leave their comments and names", async () => {
    const evil = '*/ export const x = 1; //\nexport type Evil = 1\n"';
    const channels = { [evil]: { description: evil, "x-wirespeed": { kind: "feed", channel: evil, value: { description: evil, enum: [evil], title: evil, tsType: evil } } } };
    const { text } = await generate({ asyncapi: "3.0.0", info: { title: evil }, channels } as Document);
    const { transformWithOxc } = await import("vite");
    expect((await transformWithOxc(text, "live.ts")).code.replace(/\/\/.*/g, "").trim()).toBe("export {};");
  });

  test("have valid and different names", () => {
    const names = ["Item", "item", "Item-Input", "Page[Item]", "dict_str_int_", "2fa", "日本", "Café", "Paths", "class", "v2beta", "_x"];
    const nameOf = naming(names, ["Paths"]);
    expect(names.map(nameOf)).toEqual([
      "Item", "Item_2", "ItemInput", "PageItem", "DictStrInt", "Fa", "Schema", "Cafe", "Paths_2", "Class", "V2Beta", "X",
    ]);
  });

  test("have the names that they were given", async () => {
    const schemas = { "Page[Item]": { $ref: "#/components/schemas/v2_beta" }, v2_beta: { type: "object", properties: { "a b": {} } }, "日本": { enum: ["x"] } };
    for (const [name, type] of [["Page[Item]", "V2Beta"], ["v2_beta", "V2Beta"], ["日本", "Schema"]]) {
      expect(await valueOf({ $ref: `#/components/schemas/${name}` }, schemas)).toBe(type);
    }
  });
});

describe("the layout", () => {
  test("changes nothing but the layout", async () => {
    const { format } = await import("prettier");
    const tricky = {
      title: "First",
      type: "object",
      additionalProperties: false,
      properties: {
        "a {": { type: "string", description: "}\n{ ; export type X = 1\n/** not a comment" },
        'quote"(': { enum: ["}", "(a | b", "|", '"', "\\"] },
        union: { enum: Array.from({ length: 30 }, (_, at) => `| value ${at}`) },
        nested: { anyOf: [{ type: "array", items: { enum: ["a", "b"] } }, ...Array.from({ length: 9 }, (_, at) => ({ const: `member ${at} of` }))] },
        inline: { anyOf: [{ type: "object", properties: { x: { type: "array", items: { anyOf: [{ type: "object" }, { type: "null" }] } } } }, { type: "null" }] },
        other: { $ref: "#/definitions/Other" },
        list: { $ref: "#/definitions/List" },
      },
      definitions: {
        Other: { type: "object", description: "One line.", properties: { export: { type: "string" }, first: { $ref: "#" } } },
        List: { type: "array", items: { type: "object", properties: { type: { type: "string" } } }, description: "export type List" },
      },
    };
    const code = await compile(tricky as never, "First", { bannerComment: "", format: false });
    const pretty = async (text: string): Promise<string[]> => {
      const declarations = (await format(text, { parser: "typescript", printWidth: 100 })).split(/\n(?=(?:\/\*\*(?:(?!\*\/)[^])*\*\/\n)?export )/);
      return declarations.map((each) => each.replace(/\/\*\*\s*\*?\s*(.*?)\s*\*\//g, "/** $1 */").trim()).sort();
    };
    const multi = (text: string): string => text.replace(/^\/\*\*\n \* (.*)\n \*\/$/gm, "/** $1 */");
    expect(await pretty(layout(code, "First"))).toEqual(await pretty(multi(code)));
    expect(layout(code, "First")).toContain('  nested?:\n    | ("a" | "b")[]\n    | "member 0 of"\n');
  });
});

describe("a document", () => {
  test.each([
    ["<!DOCTYPE html><html>", /^page is not JSON: it begins with "<!DOCTYPE html><html>"\. Give the URL/],
    ["", /is not JSON: it is empty/],
    ["[]", /is not an AsyncAPI document\. Wirespeed serves/],
    ['{"openapi": "3.1.0"}', /is an OpenAPI document\. Wirespeed serves/],
    ['{"asyncapi": "2.6.0"}', /of version 2\.6\.0; only version 3/],
    ['{"asyncapi": "3.0.0", "channels": {"a": {}}}', /does not describe an app with Wirespeed/],
  ])("that is not one is refused: %s", (text, problem) => {
    expect(() => documentIn(text, "page")).toThrow(problem);
  });
});

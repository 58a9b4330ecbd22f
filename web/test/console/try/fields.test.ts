import { describe, expect, test } from "vitest";
import {
  ABSENT,
  type Draft,
  draftOf,
  emptyDraft,
  type Field,
  fieldAt,
  fieldOf,
  NULL,
  valueOf,
} from "../../../console/src/try/fields.js";
import { type Schema, type Schemas, skeleton, typeName } from "../../../console/src/try/schema.js";

const SCHEMAS: Schemas = {
  Side: { enum: ["buy", "sell"], title: "Side", type: "string" },
  Seat: {
    type: "object",
    title: "Seat",
    properties: { row: { type: "integer", minimum: 1 }, note: { type: "string", default: "" } },
    required: ["row"],
  },
  Order: {
    type: "object",
    title: "Order",
    properties: {
      side: { $ref: "#/components/schemas/Side" },
      count: { type: "integer", minimum: 1 },
      price: { anyOf: [{ type: "number" }, { type: "null" }], default: null },
      seats: { type: "array", items: { $ref: "#/components/schemas/Seat" } },
      gift: { type: "boolean", default: false },
      target: { anyOf: [{ $ref: "#/components/schemas/Seat" }, { type: "string" }] },
      more: { anyOf: [{ $ref: "#/components/schemas/Seat" }, { type: "null" }], default: null },
      labels: { type: "object", additionalProperties: { type: "string" }, default: {} },
    },
    required: ["side", "count", "seats", "target"],
  },
  Tree: {
    type: "object",
    properties: { name: { type: "string" }, leaves: { type: "array", items: { $ref: "#/components/schemas/Tree" } } },
    required: ["name", "leaves"],
  },
};
const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });
const field = (schema: Schema, isRequired = true): Field => fieldOf(schema, SCHEMAS, "message", isRequired);
const text = (entered: string): Draft => ({ is: "text", text: entered });
const result = (of: Field, draft: Draft) => valueOf(of, draft, SCHEMAS, ["body"]);

/** Returns a field inside an object. */
function inside(of: Field, name: string): Field {
  return of.kind === "object" ? of.fields.find(([each]) => each === name)![1] : of;
}

describe("the form of a model", () => {
  const order = field(ref("Order"));

  test("has a field for each property, by its type", () => {
    const kinds =
      order.kind === "object"
        ? order.fields.map(
            ([name, each]) => `${name} ${each.kind}${each.isRequired ? "!" : ""}${each.isNullable ? "?" : ""}`,
          )
        : [];
    expect(kinds).toEqual([
      "side choice!",
      "count number!",
      "price number?",
      "seats list!",
      "gift choice",
      "target json!",
      "more object?",
      "labels json",
    ]);
  });

  test("says the type, the bounds and the default of a field", () => {
    expect(inside(order, "count").hint).toBe("integer, ≥ 1");
    expect(inside(order, "price")).toMatchObject({ hint: "number | null", byDefault: "null" });
    expect(inside(order, "target").hint).toBe("Seat | string");
    expect(inside(order, "gift").byDefault).toBe("false");
  });

  test("becomes the value that was entered, without the fields that were left out", () => {
    const draft: Draft = {
      is: "object",
      entries: {
        side: { is: "choice", index: 1 },
        count: text(" 3 "),
        price: NULL,
        seats: { is: "list", items: [{ is: "object", entries: { row: text("2"), note: text("") } }] },
        target: text('"door"'),
        gift: ABSENT,
        labels: text(""),
      },
    };
    expect(result(order, draft)).toEqual({
      value: { side: "sell", count: 3, price: null, seats: [{ row: 2 }], target: "door" },
      problems: [],
    });
  });

  test("names the place of each problem as FastAPI does, and says which ones block", () => {
    const draft: Draft = {
      is: "object",
      entries: {
        count: text("many"),
        seats: { is: "list", items: [{ is: "object", entries: { row: text("x") } }] },
        target: text("{"),
      },
    };
    const { problems } = result(order, draft);
    expect(problems.map(({ at, message, blocks }) => [at.join("."), message.split(":")[0], blocks])).toEqual([
      ["body.side", "Required", true],
      ["body.count", "Not a whole number", true],
      ["body.seats.0.row", "Not a whole number", true],
      ["body.target", "Not JSON", true],
    ]);
  });

  test("warns of values that do not fit, which the server may refuse", () => {
    const draft: Draft = {
      is: "object",
      entries: {
        side: { is: "choice", index: 0 },
        count: text("0"),
        seats: { is: "list", items: [] },
        target: text('{"row": 0}'),
      },
    };
    const { value, problems } = result(order, draft);
    expect(value).toEqual({ side: "buy", count: 0, seats: [], target: { row: 0 } });
    expect(problems).toEqual([
      { at: ["body", "count"], message: "Should be at least 1" },
      { at: ["body", "target", "row"], message: "Should be at least 1" },
    ]);
  });

  test("takes a value back, so that JSON and form show the same", () => {
    const value = {
      side: "sell",
      count: 3,
      price: null,
      seats: [{ row: 2, note: "aisle" }],
      gift: true,
      target: { row: 1 },
      labels: { a: "b" },
    };
    expect(result(order, draftOf(order, value))).toEqual({ value, problems: [] });
  });

  test("finds the innermost field for a place of the server", () => {
    expect(fieldAt(order, ["seats", 0, "row"])).toEqual(["seats", 0, "row"]);
    expect(fieldAt(order, ["target", "Seat", "row"])).toEqual(["target"]);
    expect(fieldAt(order, ["nowhere"])).toEqual([]);
  });
});

test("a union offers a value of each kind to start from", () => {
  const union = field({ oneOf: [ref("Seat"), ref("Side")] });
  expect(union).toMatchObject({
    kind: "json",
    templates: [
      ["Seat", { row: 1 }],
      ["Side", "buy"],
    ],
  });
  expect(emptyDraft(union)).toEqual(text('{\n  "row": 1\n}'));
});

test("a union of literals is a choice", () => {
  expect(
    field({
      anyOf: [
        { const: "a", type: "string" },
        { const: 2, type: "integer" },
      ],
    }),
  ).toMatchObject({ kind: "choice", choices: ["a", 2] });
});

test("a type that contains itself ends in JSON", () => {
  const tree = field(ref("Tree"));
  const leaves = inside(tree, "leaves");
  expect(leaves.kind === "list" && leaves.item.kind).toBe("json");
});

test("a schema that only refers to itself is any JSON", () => {
  expect(fieldOf(ref("A"), { A: { $ref: "#/components/schemas/A" } }, "message", true).kind).toBe("json");
});

test("a required text may be empty, and an optional one is left out", () => {
  expect(result(field({ type: "string" }), text(""))).toEqual({ value: "", problems: [] });
  expect(result(field({ type: "string" }, false), text(""))).toEqual({ value: undefined, problems: [] });
});

test("a field that is required takes the schema's example", () => {
  expect(emptyDraft(field({ type: "number", examples: [2.5] }))).toEqual(text("2.5"));
});

test("null is a value of its own where it fits", () => {
  const nullable = field({ anyOf: [{ type: "string" }, { type: "null" }] });
  expect(result(nullable, NULL)).toEqual({ value: null, problems: [] });
  expect(draftOf(nullable, null)).toEqual(NULL);
});

test("a number that JavaScript cannot hold exactly is a warning", () => {
  expect(result(field({ type: "integer" }), text("9007199254740993")).problems[0]?.message).toMatch(/too large/);
});

test("every way to write a number is accepted, and nothing else", () => {
  const number = field({ type: "number" });
  expect(["1", "-1.5", ".5", "2.", "1e3", "+4"].map((each) => result(number, text(each)).value)).toEqual([
    1, -1.5, 0.5, 2, 1000, 4,
  ]);
  for (const wrong of ["0x10", "1,5", "Infinity", "NaN", "1e999", "--1", "1 2"]) {
    expect(result(number, text(wrong)).problems[0]?.blocks, wrong).toBe(true);
  }
});

describe("types that contain themselves", () => {
  const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });
  const optional = (name: string): Schema => ({ anyOf: [ref(name), { type: "null" }] });
  const names = Array.from({ length: 12 }, (_, index) => `next${index}`);
  const circles: Schemas = {
    Node: {
      type: "object",
      properties: Object.fromEntries(names.map((name) => [name, optional("Node")])),
      required: names,
    },
    Pair: { anyOf: [{ type: "array", prefixItems: [optional("Pair"), optional("Pair")] }, { type: "null" }] },
    Wide: {
      type: "object",
      properties: Object.fromEntries(names.map((name) => [name, { type: "array", prefixItems: [ref("Wide")] }])),
      required: names,
    },
  };

  test("are null within themselves in a value to start from, however many fields they have", () => {
    expect(skeleton(ref("Node"), circles)).toEqual(Object.fromEntries(names.map((name) => [name, null])));
    expect(skeleton(ref("Pair"), circles)).toEqual([null, null]);
    expect(skeleton(ref("Wide"), circles)).toEqual(Object.fromEntries(names.map((name) => [name, [null]])));
  });

  test("have a field", () => {
    const [first] = circles["Pair"]!.anyOf!;
    expect(valueOf(fieldOf(first!, circles, "message", true), { is: "text", text: "[null, null]" }, circles, [])).toEqual({
      value: [null, null],
      problems: [],
    });
  });
});

test("an enum without a value has a field for JSON, since no choice is possible", () => {
  const field = fieldOf({ enum: [], title: "Empty" }, SCHEMAS, "message", true);
  expect(field.kind).toBe("json");
  expect(typeName({ enum: [] })).toBe("never");
});

import { expect, test } from "vitest";
import { columnsOf, Rows } from "../../../console/src/try/rows.js";

const keys = (rows: Rows, orderBy?: string): unknown[] => rows.first(10, orderBy).map(({ key }) => key);

test("rows are replaced by key in their place, and removed ones disappear", () => {
  const rows = new Rows();
  for (const change of [
    { key: "a", value: { n: 1 } },
    { key: "b", value: { n: 2 } },
    { key: "a", value: { n: 3 } },
    { key: "c", value: 1 },
    { key: "b", removed: true },
  ]) {
    expect(rows.apply(change)).toBe(JSON.stringify(change.key));
  }
  expect(rows.first(10).map(({ key, value, changes }) => [key, value, changes])).toEqual([
    ["a", { n: 3 }, 2],
    ["c", 1, 1],
  ]);
});

test("keys of different types are different rows", () => {
  const rows = new Rows();
  rows.apply({ key: 1, value: "number" });
  rows.apply({ key: "1", value: "text" });
  expect(keys(rows)).toEqual([1, "1"]);
});

test("a reset empties the table, and text is appended to a row", () => {
  const rows = new Rows();
  rows.apply({ key: 1, value: { text: "Hel" } });
  rows.apply({ key: 1, append: { text: "lo" } });
  rows.apply({ key: 2, append: { text: "lost" } });
  expect(rows.first(10).map(({ value }) => value)).toEqual([{ text: "Hello" }]);
  rows.apply({ reset: true });
  expect(rows.size).toBe(0);
});

test("other messages are not changes", () => {
  const rows = new Rows();
  expect([null, 1, "text", { lost: 5 }, { status: { state: "stale" } }].map((each) => rows.apply(each))).toEqual(
    Array(5).fill(undefined),
  );
});

test("rows can have the order that the table declares, with nulls last", () => {
  const rows = new Rows();
  for (const [key, n] of [
    ["a", 2],
    ["b", null],
    ["c", 10],
    ["d", 1],
  ] as const) {
    rows.apply({ key, value: { n } });
  }
  expect(rows.first(2, "n").map(({ key }) => key)).toEqual(["d", "a"]);
  expect([keys(rows, "n"), keys(rows, "-n"), keys(rows)]).toEqual([
    ["d", "a", "c", "b"],
    ["c", "a", "d", "b"],
    ["a", "b", "c", "d"],
  ]);
});

test("the answer to a GET is the table", () => {
  const rows = new Rows();
  rows.apply({ key: "old", value: {} });
  rows.replace(
    [
      { id: 7, n: 1 },
      { id: 8, m: 2 },
    ],
    "id",
  );
  expect(keys(rows)).toEqual([7, 8]);
  expect(columnsOf(["id"], rows.first(10))).toEqual(["id", "n", "m"]);
});

import { expect, test } from "vitest";
import { History } from "../../console/src/history.js";
import { overviewOf, rowOf } from "./place.js";

test("rates are the growth of totals per second, of all processes and of each", () => {
  const history = new History();
  history.take(overviewOf(10, [rowOf("/price", { one: { published: 100 }, two: { published: 7 } })]));
  expect(history.rate("/price", "published")).toBeNull();
  history.take(overviewOf(12, [rowOf("/price", { one: { published: 140 }, two: { published: 13 } })]));
  expect(history.rate("/price", "published")).toBe(23);
  expect(history.rate("/price", "published", "two")).toBe(3);
  expect(history.rate("/missing", "published")).toBeNull();
});

test("a process that restarts, joins or leaves neither adds its whole total nor takes it away", () => {
  const history = new History();
  history.take(overviewOf(0, [rowOf("/price", { one: { delivered: 50 }, two: { delivered: 900 }, old: { delivered: 70 } })]));
  history.take(overviewOf(1, [rowOf("/price", { one: { delivered: 60 }, two: { delivered: 5 }, new: { delivered: 400 } })]));
  expect(history.rate("/price", "delivered")).toBe(10);
  expect(history.series("/price", "delivered")).toEqual([null, 10]);
});

test("the first figures of a definition count, in a process that has answered before", () => {
  const history = new History();
  history.take(overviewOf(0, [rowOf("/price", {})], ["one"]));
  history.take(overviewOf(2, [rowOf("/price", { one: { published: 30 }, new: { published: 400 } })], ["one", "new"]));
  expect(history.rate("/price", "published")).toBe(15);
  expect(history.series("/price", "published")).toEqual([null, 15]);
});

test("rates of runs count those that have ended", () => {
  const history = new History();
  const runs = { active: 3, completed: 1, refused: 1, failed: 1, cancelled: 1 };
  history.take(overviewOf(0, [rowOf("/count", { one: { runs } })]));
  history.take(overviewOf(1, [rowOf("/count", { one: { runs: { ...runs, active: 9, completed: 5, failed: 2 } } })]));
  expect(history.rate("/count", "runs")).toBe(5);
});

test("series have a value for each time, of definitions that came later, too, and sum up to those of the app", () => {
  const history = new History();
  history.take(overviewOf(0, [rowOf("/a", { one: { bytes: 0 } })]));
  history.take(overviewOf(1, [rowOf("/a", { one: { bytes: 5 } }), rowOf("/b", { one: { bytes: 100 } })]));
  history.take(overviewOf(2, [rowOf("/a", { one: { bytes: 7 } }), rowOf("/b", { one: { bytes: 130 } })]));
  expect(history.times).toEqual([0, 1, 2]);
  expect(history.series("/a", "bytes")).toEqual([null, 5, 2]);
  expect(history.series("/b", "bytes")).toEqual([null, null, 30]);
  expect(history.sums("bytes")).toEqual([null, 5, 32]);
});

test("an overview that has come before is ignored, and a long pause is a gap", () => {
  const history = new History();
  history.take(overviewOf(0, [rowOf("/a", { one: { published: 0 } })]));
  history.take(overviewOf(0, [rowOf("/a", { one: { published: 9 } })]));
  expect(history.times).toEqual([0]);
  history.take(overviewOf(100, [rowOf("/a", { one: { published: 500 } })]));
  expect(history.series("/a", "published")).toEqual([null, null]);
  expect(history.rate("/a", "published")).toBeNull();
});

test("the history is bounded", () => {
  const history = new History();
  for (let at = 0; at < 1000; at += 1) {
    history.take(overviewOf(at, [rowOf("/a", { one: { published: at } })]));
  }
  expect(history.times.length).toBeLessThanOrEqual(300);
  expect(history.series("/a", "published")).toHaveLength(history.times.length);
  expect(history.sums("published")).toHaveLength(history.times.length);
});

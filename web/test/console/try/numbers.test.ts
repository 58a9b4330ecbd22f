import { expect, test } from "vitest";
import { Numbers } from "../../../console/src/try/numbers.js";

test("every number inside a value is found, by its path", () => {
  const numbers = new Numbers();
  numbers.add({ key: "a", value: { price: 1, at: { x: 2 }, name: "n", list: [3] } }, 0);
  expect([...numbers.paths.keys()]).toEqual(["value.price", "value.at.x", "value.list.0"]);
});

test("a value that is a number has one", () => {
  const numbers = new Numbers();
  numbers.add(5, 0);
  numbers.choose("value");
  numbers.add(6, 100);
  expect(numbers.points).toEqual([[0.1], [6]]);
});

test("the chosen number is collected, and others are not", () => {
  const numbers = new Numbers();
  numbers.add({ a: 1, b: 2 }, 0);
  numbers.choose("b");
  [{ a: 1, b: 3 }, { a: 1 }, { b: null }, { b: 4 }].forEach((value, index) => numbers.add(value, 100 * index));
  expect(numbers.points).toEqual([
    [0, 0.3],
    [3, 4],
  ]);
  expect(numbers.newest).toBe(4);
  numbers.choose("a");
  expect(numbers.points).toEqual([[], []]);
});

test("many values at once keep their lowest, highest and newest number", () => {
  const numbers = new Numbers();
  numbers.add(0, 0);
  numbers.choose("value");
  [5, 3, 9, 4, 1, 6].forEach((value) => numbers.add(value, 1000));
  const [times, values] = numbers.points;
  expect(times.length).toBe(3);
  expect(values).toEqual([1, 9, 6]);
});

test("the plot is bounded, and values are not looked at without a need", () => {
  const numbers = new Numbers();
  for (let at = 0; at < 30; at += 1) {
    numbers.add(at, at);
  }
  expect([numbers.wants(30), numbers.wants(1000)]).toEqual([false, true]);
  numbers.choose("value");
  for (let at = 0; at < 1_000_000; at += 20) {
    numbers.add(at, at);
  }
  expect(numbers.points[0].length).toBeLessThan(5000);
  expect(numbers.newest).toBe(999_980);
});

import { expect, test } from "vitest";
import { Recent } from "../src/recent.js";

test("the newest values are kept, in order, however they arrive", () => {
  for (const size of [1, 2, 3, 7, 100]) {
    const recent = new Recent<number>(5);
    for (let first = 0; first < 210; first += size) {
      recent.add(Array.from({ length: size }, (_, index) => first + index));
      const newest = recent.count - 1;
      expect(recent.values).toEqual([4, 3, 2, 1, 0].map((back) => newest - back).filter((value) => value >= 0));
    }
  }
});

test("the array of values changes only when values are added", () => {
  const recent = new Recent<number>(2);
  const before = recent.values;
  expect(recent.values).toBe(before);
  recent.add([1]);
  expect(before).toEqual([]);
  expect(recent.values).not.toBe(before);
  expect(recent.values).toBe(recent.values);
});

test("an invalid number of values is refused", () => {
  for (const keep of [0, -1, 1.5, NaN, Infinity]) {
    expect(() => new Recent(keep)).toThrow(RangeError);
  }
});

import { describe, expect, test } from "vitest";
import { channelOf, placed } from "../src/channel.js";

describe("channels", () => {
  test.each([
    ["price/BTC", {}, undefined, "price/BTC"],
    ["/price/BTC", {}, undefined, "price/BTC"],
    ["price", { unit: "°C", days: 3, all: true, none: undefined }, undefined, "price?unit=%C2%B0C&days=3&all=true"],
    ["price?unit=C", {}, 60, "price?unit=C&max_rate=60"],
    ["price", { max: 0 }, 5, "price?max=0&max_rate=5"],
  ])("%s with %o is %s", (path, params, maxRate, channel) => {
    expect(channelOf(path, params, maxRate)).toBe(channel);
  });
});

test.each([
  ["price/{symbol}", { symbol: "A/B" }, ["price/A%2FB", {}]],
  ["files/{name:path}/{size}", { name: "a", size: 0, more: true }, ["files/a/0", { more: true }]],
  ["straße/{größe}", { größe: "µ" }, ["straße/%C2%B5", {}]],
])("%s is filled with %o", (path, parameters, expected) => {
  expect(placed(path, [parameters, "rest"])).toEqual([...expected, "rest"]);
});

test("a parameter that is missing is named", () => {
  expect(() => placed("straße/{größe}", [{}])).toThrow("straße/{größe}: the parameter größe is missing");
});

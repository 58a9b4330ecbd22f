import { expect, test } from "vitest";
import { link, parse, type Route } from "../../console/src/route.js";

test.each<Exclude<Route, { view: "unknown" }>>([
  { view: "definitions" },
  { view: "clients" },
  { view: "processes" },
  { view: "definition", path: "/price/{symbol}" },
  { view: "types", path: "/" },
  { view: "try", path: "/a b/ü%2F" },
  { view: "key", text: "/price/BTC?unit=C&x=%20#1" },
  { view: "client", process: "a/b#1", id: "ü?=" },
])("a link leads back to its view: %o", (route) => {
  expect(parse(link(route))).toEqual(route);
});

test("links to paths can be read", () => {
  expect(link({ view: "definition", path: "/price/{symbol}" })).toBe("#/definition/price/{symbol}");
});

test.each(["#/nothing", "#/key", "#/client/one", "#main", "#/definition"])("%s is not a view", (hash) => {
  expect(parse(hash)).toEqual({ view: "unknown" });
});

test("an address whose escapes are broken is taken as it is", () => {
  expect(parse("#/key/100%")).toEqual({ view: "key", text: "/100%" });
});

import { expect, test } from "vitest";
import type { AsyncApi, Definition } from "../../../console/src/document.js";
import { type Draft, fieldAt } from "../../../console/src/try/fields.js";
import {
  addressesOf,
  bodyOf,
  build,
  channelOf,
  formOf,
  type Inputs,
  NO_OPTIONS,
  type Options,
  optionsOf,
  type Request,
  socketUrlOf,
  surfacesOf,
  takesMore,
  urlOf,
} from "../../../console/src/try/request.js";
import { definition, text } from "./examples.js";

const ADDRESSES = { root: "http://localhost:8000", live: "http://localhost:8000/live" };

/** Returns the request for some inputs. */
function made(
  of: Definition,
  surface: Request["surface"],
  parameters: Record<string, string> = {},
  options: Partial<Options> = {},
  message: Draft = text(""),
) {
  const form = formOf(of, {});
  const drafts = Object.fromEntries(Object.entries(parameters).map(([name, each]) => [name, text(each)]));
  const inputs: Inputs = { parameters: drafts, message, options: { ...NO_OPTIONS, ...options } };
  return build(of, surface, form, inputs, {}, ADDRESSES);
}

test("parameters go into the path, the query and the channel, encoded", () => {
  const price = definition({
    path: "/price/{symbol}",
    parameters: [
      { name: "symbol", in: "path" },
      { name: "unit", in: "query" },
    ],
  });
  const { request } = made(price, "websocket", { symbol: "a/b?c#d e%", unit: "C & F" }, { maxRate: "5" });
  expect(urlOf(request!)).toBe("http://localhost:8000/price/a%2Fb%3Fc%23d%20e%25?unit=C+%26+F&max_rate=5");
  expect(socketUrlOf(request!)).toMatch(/^ws:\/\/localhost:8000\/price/);
  expect(channelOf(request!)).toBe("price/a%2Fb%3Fc%23d%20e%25?unit=C+%26+F&max_rate=5");
});

test("a parameter for paths keeps its slashes", () => {
  const files = definition({ path: "/files/{name:path}", parameters: [{ name: "name", in: "path" }] });
  expect(urlOf(made(files, "get", { name: "a/b c" }).request!)).toBe("http://localhost:8000/files/a/b%20c");
});

test("half of a surrogate pair does not fail", () => {
  const price = definition({ path: "/price/{symbol}", parameters: [{ name: "symbol", in: "path" }] });
  expect(urlOf(made(price, "get", { symbol: "\ud83d" }).request!)).toBe("http://localhost:8000/price/%EF%BF%BD");
});

test("what browsers would take for another path, or is missing, blocks the request", () => {
  const price = definition({ path: "/price/{symbol}", parameters: [{ name: "symbol", in: "path" }] });
  expect(made(price, "get", { symbol: ".." }).request).toBeUndefined();
  expect(made(price, "multiplexed", { symbol: ".." }).request).toBeDefined();
  expect(made(price, "get", {}).problems).toEqual([{ at: ["path", "symbol"], message: "Required", blocks: true }]);
});

test("an optional parameter that is empty is left out, and a list is repeated", () => {
  const found = definition({
    path: "/found",
    parameters: [
      { name: "q", in: "query", required: false },
      { name: "tag", in: "query", schema: { type: "array", items: { type: "string" } } },
    ],
  });
  const form = formOf(found, {});
  const inputs: Inputs = {
    parameters: { q: text(""), tag: { is: "list", items: [text("a"), text("b")] } },
    message: text(""),
    options: { ...NO_OPTIONS, query: "?x=1&y='" },
  };
  expect(urlOf(build(found, "get", form, inputs, {}, ADDRESSES).request!)).toBe(
    "http://localhost:8000/found?tag=a&tag=b&x=1&y=%27",
  );
});

test("options are those of the surface, unless the definition has a parameter of that name", () => {
  const table = definition({
    kind: "feed",
    by: "symbol",
    path: "/t",
    parameters: [{ name: "since", in: "query", required: false }],
  });
  expect([...optionsOf(table, "get")].sort()).toEqual(["limit", "query", "token"]);
  expect([...optionsOf(table, "websocket")].sort()).toEqual(["maxRate", "positions", "query", "token"]);
  expect([...optionsOf(table, "multiplexed")].sort()).toEqual(["maxRate", "query", "since", "token"]);
  expect([...optionsOf(definition({ kind: "stream" }), "post")].sort()).toEqual(["query", "token"]);
  const { request } = made(table, "get", {}, { maxRate: "5", positions: true, limit: "3" });
  expect(urlOf(request!)).toBe("http://localhost:8000/t?limit=3");
});

test("a position is one of an epoch and an offset", () => {
  const { request } = made(definition({ kind: "feed" }), "multiplexed", {}, { since: " 98:4ffd1:17 " });
  expect(request!.since).toEqual({ epoch: "98:4ffd1", offset: 17 });
  expect(channelOf(request!)).not.toContain("since");
  expect(made(definition({ kind: "feed" }), "websocket", {}, { since: "17" }).problems[0]?.at).toEqual([
    "query",
    "since",
  ]);
});

test("texts, bytes and JSON travel in their own way", () => {
  const carried = (message: Definition["message"]) => formOf(definition({ kind: "stream", message }), {}).carrier;
  expect(carried({ type: "string", maxLength: 5 })).toBe("text");
  expect(carried({ type: "string", format: "binary" })).toBe("bytes");
  expect(carried({ type: "string", format: "uuid" })).toBe("json");
  expect(carried({ type: "string", const: "a" })).toBe("json");
  expect(carried({ type: "integer" })).toBe("json");
  expect(carried(null)).toBe("none");
  const { request } = made(
    definition({ kind: "stream", intake: "each", message: { type: "string" } }),
    "post",
    {},
    {},
    text("@a"),
  );
  expect(bodyOf(request!)).toBe('"@a"');
});

test("a topic's message is part of a request only where it can be sent", () => {
  const topic = definition({ kind: "topic", message: { type: "string" } });
  const sent = (surface: Request["surface"]) => made(topic, surface, {}, {}, text("hello")).request!.message;
  expect([sent("websocket"), sent("multiplexed"), sent("sse")]).toEqual(["hello", "hello", undefined]);
});

test("a message blocks the request only where the request has it", () => {
  const message = { type: "integer" } as const;
  expect(
    made(definition({ kind: "stream", intake: "each", message }), "websocket", {}, {}, text("x")).request,
  ).toBeUndefined();
  expect(made(definition({ kind: "topic", message }), "websocket", {}, {}, text("x")).request).toBeDefined();
});

test("bytes are not offered on a connection that speaks JSON", () => {
  const surfaces = ["get", "multiplexed", "websocket"] as const;
  expect(surfacesOf(definition({ encoding: "bytes", surfaces: [...surfaces] }), "none")).toEqual(["websocket", "get"]);
  expect(surfacesOf(definition({ surfaces: [...surfaces] }), "none")).toEqual(["websocket", "multiplexed", "get"]);
});

test("further messages go to duplex streams, handlers, and streams that run for each message", () => {
  const message = { type: "integer" } as const;
  const each = definition({ kind: "stream", intake: "each", message });
  expect([takesMore(each, "websocket"), takesMore(each, "multiplexed"), takesMore(each, "post")]).toEqual([
    true,
    false,
    false,
  ]);
  const all = definition({ kind: "stream", intake: "all", message });
  expect([takesMore(all, "websocket"), takesMore(all, "multiplexed")]).toEqual([true, true]);
  expect(takesMore(definition({ kind: "topic", message }), "sse")).toBe(false);
  expect(takesMore(definition({ kind: "topic" }), "websocket")).toBe(false);
});

test("addresses of the app are those of the page, without the prefix", () => {
  const document: AsyncApi = {
    asyncapi: "3.0.0",
    info: { title: "", version: "" },
    channels: {},
    servers: { multiplexed: { host: "x", protocol: "ws", "x-wirespeed": { protocol: "centrifuge", prefix: "/live" } } },
  };
  expect(addressesOf(document, "https://a.example/api/live/#/try")).toEqual({
    root: "https://a.example/api",
    live: "https://a.example/api/live",
  });
  expect(addressesOf(document, "http://localhost:8000/live/")).toEqual({
    root: "http://localhost:8000",
    live: "http://localhost:8000/live",
  });
});

test("a place of the server leads to a message without a form, too", () => {
  expect(fieldAt(formOf(definition({ message: { type: "string" } }), {}).message!, ["x"])).toEqual([]);
});

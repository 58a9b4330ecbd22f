import { beforeEach, describe, expect, expectTypeOf, test } from "vitest";
import { connect, type Live, type LiveOf, type Member, type RowChange, WirespeedError } from "../src/index.js";
import { useCall, useFeed, usePresence, useStream, useTable } from "../src/react.js";
import type { Paths, Quote, SaidOutput, ValidationError } from "./generated.js";
import { fakeTime, pass, Server } from "./server.js";

// Never called: only the compiler reads it.
async function right(live: LiveOf<Paths>, error: unknown): Promise<void> {
  expectTypeOf(connect<Paths>()).toEqualTypeOf<LiveOf<Paths>>();
  expectTypeOf(connect()).toEqualTypeOf<Live>();
  expectTypeOf(live.feed("price/{symbol}", { symbol: "BTC" }).value).toEqualTypeOf<number | undefined>();
  expectTypeOf(live.feed("/price/{symbol}", { symbol: "BTC", limit: 4, tag: ["a"] }, { maxRate: 5 }).value).toEqualTypeOf<number | undefined>();
  expectTypeOf(live.feed("quotes", { every: true }).value).toEqualTypeOf<RowChange<Quote> | undefined>();
  expectTypeOf(live.feed("news").value).toEqualTypeOf<number | undefined>();
  expectTypeOf(live.feed("news", { params: { lang: "de" } }).value).toEqualTypeOf<number | undefined>();
  expectTypeOf(live.feed("local", { params: { lang: "de" }, hidden: "deliver" }).value).toEqualTypeOf<unknown>();
  expectTypeOf(live.table("quotes", { maxRate: 1 }).rows).toEqualTypeOf<ReadonlyMap<string, Quote>>();
  const chat = live.topic("chat/{room}", { room: "hall" });
  await chat.publish({ text: "hi" });
  expectTypeOf(chat.value).toEqualTypeOf<SaidOutput | undefined>();
  await live.publish("chat/{room}", { room: "hall" }, { text: "hi" });
  expectTypeOf(live.presence("chat/{room}", { room: "hall" }).current).toEqualTypeOf<ReadonlyMap<string, Member>>();
  const { entries } = await live.history("chat/{room}", { room: "hall" }, { limit: 5 });
  expectTypeOf(entries[0]?.value).toEqualTypeOf<SaidOutput | undefined>();
  expectTypeOf(await live.call("add", { a: 1, b: 2 })).toEqualTypeOf<number>();
  expectTypeOf(await live.call("rooms/{room}/join", { room: "hall" }, { text: "hi" })).toEqualTypeOf<string>();
  expectTypeOf(await live.call("ping")).toEqualTypeOf<null>();
  const message = { items: [{ id: 1, kind: "x" as const }] };
  expectTypeOf(live.stream("count", message)).toExtend<AsyncIterable<[string, number]>>();
  expectTypeOf(live.stream("ticks/{n}", { n: 4 })).toExtend<AsyncIterable<number>>();
  expectTypeOf(live.stream("ticks/{n}", { n: 4 }, undefined, { signal: AbortSignal.timeout(1) })).toExtend<AsyncIterable<number>>();
  await live.stream("echo").send("hi");
  await live.stream("echo", "first").send("second");
  if (live.isRefusal(error, "add", 409)) {
    expectTypeOf(error.detail.code).toEqualTypeOf<string>();
    expectTypeOf(error.status).toEqualTypeOf<409>();
  }
  if (live.isRefusal(error, "rooms/{room}/join", 422)) {
    expectTypeOf(error.detail).toEqualTypeOf<ValidationError[]>();
  }
  expectTypeOf(useFeed(live, "price/{symbol}", { symbol: "BTC" }).value).toEqualTypeOf<number | undefined>();
  expectTypeOf(useTable(live, "quotes", { maxRate: 5 }).rows).toEqualTypeOf<ReadonlyMap<string, Quote>>();
  expectTypeOf(usePresence(live, "chat/{room}", { room: "hall" }).members).toEqualTypeOf<ReadonlyMap<string, Member>>();
  const add = useCall(live, "add");
  expectTypeOf(add.value).toEqualTypeOf<number | undefined>();
  await add.call({ a: 1, b: 2 });
  await useCall(live, "rooms/{room}/join", { room: "hall" }).call({ text: "hi" });
  await useCall(live, "ping").call();
  expectTypeOf(useStream(live, "count", message, { keep: 5 }).values).toEqualTypeOf<readonly [string, number][]>();
  expectTypeOf(useStream(live, "ticks/{n}", { n: 4 }).values).toEqualTypeOf<readonly number[]>();
}

// Never called. Each line is an error of its own.
async function wrong(live: LiveOf<Paths>, error: unknown): Promise<void> {
  // @ts-expect-error no such path
  live.feed("prize/{symbol}", { symbol: "BTC" });
  // @ts-expect-error a declared path, not one with its parameters filled in
  live.feed("price/BTC");
  // @ts-expect-error the parameters are missing
  live.feed("price/{symbol}");
  // @ts-expect-error no such parameter of the path
  live.feed("price/{symbol}", { symbl: "BTC" });
  // @ts-expect-error no such parameter of the query
  live.feed("price/{symbol}", { symbol: "BTC", limt: 5 });
  // @ts-expect-error a limit is a number
  live.feed("price/{symbol}", { symbol: "BTC", limit: "5" });
  // @ts-expect-error no such room
  live.feed("chat/{room}", { room: "cellar" });
  // @ts-expect-error the language is required
  live.feed("local");
  // @ts-expect-error no such parameter of a path whose query has parameters
  live.feed("news", { params: { language: "de" } });
  // @ts-expect-error a path without parameters
  live.feed("quotes", { params: { symbol: "BTC" } });
  // @ts-expect-error a call is not a feed
  live.feed("add");
  // @ts-expect-error a feed is not a call
  void live.call("price/{symbol}", { symbol: "BTC" });
  // @ts-expect-error a feed is not a stream
  live.stream("quotes");
  // @ts-expect-error a feed is not a topic
  live.topic("quotes");
  // @ts-expect-error a feed without rows
  live.table("price/{symbol}", { symbol: "BTC" });
  // @ts-expect-error a topic without presence
  live.presence("news");
  // @ts-expect-error a topic that takes no messages
  void live.publish("news", "hi");
  // @ts-expect-error a topic that takes no messages, by its handle
  void live.topic("news").publish("hi");
  // @ts-expect-error a topic that withholds its history
  void live.history("news");
  // @ts-expect-error a field of the message is missing
  void live.call("add", { a: 1 });
  // @ts-expect-error no such field of the message
  void live.call("add", { a: 1, b: 2, c: 3 });
  // @ts-expect-error a field of the message has another type
  void live.call("add", { a: 1, b: "2" });
  // @ts-expect-error the message is missing
  void live.call("add");
  // @ts-expect-error a call without a message
  void live.call("ping", {});
  // @ts-expect-error no such field of a topic's message
  void live.publish("chat/{room}", { room: "hall" }, { txt: "hi" });
  // @ts-expect-error the message of a run is missing
  live.stream("count");
  // @ts-expect-error a field deep in the message of a run has another type
  live.stream("count", { items: [{ id: "1", kind: "x" }] });
  // @ts-expect-error a run that takes no further messages
  void live.stream("ticks/{n}", { n: 4 }).send("hi");
  // @ts-expect-error a further message has another type
  void live.stream("echo").send(5);
  // @ts-expect-error the value has another type
  (await live.call("add", { a: 1, b: 2 })).toUpperCase();
  // @ts-expect-error no such field of a row
  live.table("quotes").rows.get("BTC")?.prize;
  // @ts-expect-error no such declared status
  live.isRefusal(error, "add", 410);
  // @ts-expect-error no such path of a hook
  useFeed(live, "prize/{symbol}", { symbol: "BTC" });
  // @ts-expect-error no such parameter of a hook
  useFeed(live, "price/{symbol}", { symbl: "BTC" });
  // @ts-expect-error a hook for tables
  useTable(live, "price/{symbol}", { symbol: "BTC" });
  // @ts-expect-error a field of a hook's message is missing
  void useCall(live, "add").call({ a: 1 });
  // @ts-expect-error the message of a hook's run is missing
  useStream(live, "count");
}

test("types are inferred as documented, and mistakes are refused", () => {
  expectTypeOf(right).toBeFunction();
  expectTypeOf(wrong).toBeFunction();
});

describe("a path with the names of its parameters", () => {
  let server: Server;
  let plain: Live;
  let live: LiveOf<Paths>;

  beforeEach(async () => {
    const restore = fakeTime();
    server = new Server();
    plain = server.client();
    live = plain as unknown as LiveOf<Paths>;
    await pass();
    return () => {
      live.close();
      restore();
    };
  });

  test("is the channel that the server knows, with its other parameters in the query", async () => {
    live.feed("/price/{symbol}", { symbol: "A/B °?", limit: 5, tag: ["a", "b"] }, { maxRate: 5 }).onValue(() => {});
    live.feed("news", { params: { lang: "de" } }).onValue(() => {});
    plain.table<number>("rows/{a}/{b}", { a: 1, b: true }).onChange(() => {});
    live.presence("chat/{room}", { room: "hall" }).subscribe(() => {});
    live.topic("chat/{room}", { room: "kitchen" }).onValue(() => {});
    void live.stream("ticks/{n}", { n: 4 })[Symbol.asyncIterator]().next().catch(() => {});
    await pass();
    expect(server.subscribed).toEqual([
      "price/A%2FB%20%C2%B0%3F?limit=5&tag=a&tag=b&max_rate=5",
      "news?lang=de",
      "rows/1/true",
      "chat/hall",
      "chat/kitchen",
      "ticks/4#1",
    ]);
  });

  test("is called, published to and asked for history", async () => {
    server.answers = ({ rpc, history }) =>
      rpc ? { rpc: { data: "in" } } : history ? { history: { publications: [], offset: 0, epoch: "e" } } : { publish: {} };
    const joined = live.call("rooms/{room}/join", { room: "the hall" }, { text: "hi" });
    void live.publish("chat/{room}", { room: "hall" }, { text: "hi" });
    void live.history("chat/{room}", { room: "hall" }, { limit: 5 });
    await pass();
    expect(await joined).toBe("in");
    const sent = server.received.flatMap(({ rpc, publish, history }) => rpc ?? publish ?? history ?? []);
    expect(sent).toEqual([
      { method: "rooms/the%20hall/join", data: { text: "hi" } },
      { channel: "chat/hall", data: { text: "hi" } },
      { channel: "chat/hall", limit: 5 },
    ]);
  });

  test.each([[{}], [{ symbol: undefined }], [{ symbol: null }], [{ symbol: "" }], [undefined]])("needs its parameters: %o", async (given) => {
    expect(() => plain.feed("price/{symbol}", given as never)).toThrow(/^price\/{symbol}: the parameter symbol is .*; pass its value/);
    await expect(plain.call("price/{symbol}", given as never)).rejects.toThrow("the parameter symbol is");
  });

  test("has refusals with the status and the detail that the app declares", async () => {
    const message = '{"message":"Conflict","status":409,"detail":{"code":"taken"}}';
    server.answers = () => ({ error: { code: 409, message } });
    const asked = live.call("add", { a: 1, b: 2 }).catch((caught: unknown) => caught);
    await pass();
    const error: unknown = await asked;
    expect(live.isRefusal(error, "add", 409) && error.detail.code).toBe("taken");
    expect(live.isRefusal(error, "add", 404)).toBe(false);
    expect(live.isRefusal(new WirespeedError(1, "lost"), "add", 409)).toBe(false);
    expect(live.isRefusal(new Error("other"), "add", 409)).toBe(false);
  });
});

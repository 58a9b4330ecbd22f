import { expectTypeOf, test } from "vitest";
import type { History, Live, Members, Readable, Status } from "../src/index.js";
import { useCall, useFeed, usePresence, useStream, useTable } from "../src/react.js";

interface Tick {
  readonly number: number;
}

// Never called: only the compiler reads it.
function typed(live: Live): void {
  expectTypeOf(live.feed<number>("price").value).toEqualTypeOf<number | undefined>();
  live.feed<Tick>("ticks").onValue((tick) => expectTypeOf(tick).toEqualTypeOf<Tick>());
  live.feed<Tick>("ticks", { every: true }).onBatch((ticks) => expectTypeOf(ticks).toEqualTypeOf<readonly Tick[]>());
  live.feed<Tick>("ticks").bind(document.body, (tick) => String(tick.number));
  live.feed("anything").onValue((value) => expectTypeOf(value).toEqualTypeOf<unknown>());
  live.table<Tick>("rows").onChange((changed, rows) => {
    expectTypeOf(changed).toEqualTypeOf<ReadonlyMap<string, Tick | undefined>>();
    expectTypeOf(rows).toEqualTypeOf<ReadonlyMap<string, Tick>>();
  });
  expectTypeOf(live.stream<Tick>("count", { message: "hello" })).toExtend<AsyncIterable<Tick>>();
  expectTypeOf(live.stream<Tick>("count").batches()).toEqualTypeOf<AsyncIterable<Tick[]>>();
  expectTypeOf(live.call<number>("add", { a: 1 })).toEqualTypeOf<Promise<number>>();
  expectTypeOf(live.publish("chat", "hi")).toEqualTypeOf<Promise<void>>();
  expectTypeOf(live.status).toEqualTypeOf<Readable<Status>>();
  expectTypeOf(useFeed<number>(live, "price").value).toEqualTypeOf<number | undefined>();
  expectTypeOf(useStream<Tick>(live, "count").values).toEqualTypeOf<readonly Tick[]>();
  expectTypeOf(live.feed<number>("price")).toExtend<Readable<number | undefined>>();
  expectTypeOf(live.table<Tick>("rows")).toExtend<Readable<ReadonlyMap<string, Tick>>>();
  expectTypeOf(live.presence<Tick>("room")).toExtend<Readable<Members<Tick>>>();
  const chat = live.topic<Tick, string, number>("chat");
  chat.onValue((tick) => expectTypeOf(tick).toEqualTypeOf<Tick>());
  expectTypeOf(chat.history()).toEqualTypeOf<Promise<History<Tick>>>();
  expectTypeOf(chat.presence.current.get("id")?.info).toEqualTypeOf<number | undefined>();
  expectTypeOf(useTable<Tick>(live, "rows").rows).toEqualTypeOf<ReadonlyMap<string, Tick>>();
  expectTypeOf(usePresence<Tick>(live, "room").members).toEqualTypeOf<Members<Tick>>();
  expectTypeOf(useCall<number>(live, "add").value).toEqualTypeOf<number | undefined>();
  // @ts-expect-error the message of this topic is text
  void chat.publish(7);
  // @ts-expect-error hidden tabs deliver, or do not
  live.feed("price", { hidden: true });
  // @ts-expect-error a table does not deliver in hidden tabs
  live.table("rows", { hidden: "deliver" });
  // @ts-expect-error a rate is a number
  live.feed("price", { maxRate: "60" });
  // @ts-expect-error values have their declared type
  live.feed<number>("price").bind(document.body, (value: string) => value);
}

test("types are inferred as documented", () => {
  expectTypeOf(typed).toBeFunction();
});

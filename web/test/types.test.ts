import { expectTypeOf, test } from "vitest";
import type { Live, Readable, Status } from "../src/index.js";
import { useFeed, useStream } from "../src/react.js";

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
  // @ts-expect-error a rate is a number
  live.feed("price", { maxRate: "60" });
  // @ts-expect-error values have their declared type
  live.feed<number>("price").bind(document.body, (value: string) => value);
}

test("types are inferred as documented", () => {
  expectTypeOf(typed).toBeFunction();
});

import { beforeEach, describe, expect, test } from "vitest";
import type { Live } from "../src/index.js";
import { fakeTime, pass, Server } from "./server.js";

let server: Server;
let live: Live;

beforeEach(async () => {
  const restore = fakeTime();
  server = new Server();
  live = server.client();
  await pass();
  return () => {
    live.close();
    restore();
  };
});

/** Reads to the end, and returns the values and the error. */
function read<T>(values: AsyncIterable<T>): { readonly values: T[]; ended: unknown } {
  const result: { readonly values: T[]; ended: unknown } = { values: [], ended: undefined };
  void (async () => {
    try {
      for await (const value of values) {
        result.values.push(value);
      }
      result.ended = "complete";
    } catch (error) {
      result.ended = error;
    }
  })();
  return result;
}

describe("a run", () => {
  test("begins with its loop, and not before", async () => {
    const stream = live.stream("count", { message: "hello" });
    await pass();
    expect(server.subscribed).toEqual([]);
    read(stream);
    read(stream);
    await pass();
    expect(server.subscribed).toEqual(["count#1", "count#2"]);
    expect(server.received.find(({ subscribe }) => subscribe)?.subscribe?.data).toEqual({
      wirespeed: { batches: true, acknowledges: true },
      message: { message: "hello" },
    });
  });

  test("yields all values in order, then ends", async () => {
    const run = read(live.stream<number>("count"));
    await pass();
    server.publish("count#1", [1, 2]);
    server.publish("count#1", [3]);
    await pass();
    server.publish("count#1", [4]);
    server.end("count#1", 2000, "complete");
    await pass();
    expect(run).toEqual({ values: [1, 2, 3, 4], ended: "complete" });
  });

  test("throws when the app unsubscribes the page in the middle", async () => {
    const run = read(live.stream<number>("count"));
    await pass();
    server.publish("count#1", [1]);
    server.end("count#1", 2000, "server unsubscribe");
    await pass();
    expect(run).toMatchObject({ values: [1], ended: { message: "count: server unsubscribe", code: 2000 } });
  });

  test("yields all values that have arrived at once", async () => {
    const run = read(live.stream<number>("count").batches());
    await pass();
    server.publish("count#1", [1, 2]);
    await pass();
    server.publish("count#1", [3]);
    server.end("count#1", 2000, "complete");
    await pass();
    expect(run).toEqual({ values: [[1, 2], [3]], ended: "complete" });
  });

  test("is cancelled by leaving the loop", async () => {
    const seen: number[] = [];
    const reading = (async () => {
      for await (const value of live.stream<number>("count")) {
        seen.push(value);
        break;
      }
    })();
    await pass();
    server.publish("count#1", [1, 2, 3]);
    await pass();
    await reading;
    expect([seen, server.unsubscribed]).toEqual([[1], ["count#1"]]);
  });

  test("is cancelled by its signal, whose reason the loop throws", async () => {
    const leaving = new AbortController();
    const run = read(live.stream<number>("count", undefined, { signal: leaving.signal }));
    await pass();
    leaving.abort(new Error("enough"));
    await pass();
    expect([run.ended, server.unsubscribed]).toEqual([new Error("enough"), ["count#1"]]);
  });

  test("does not begin with a signal that is aborted already", async () => {
    const run = read(live.stream<number>("count", undefined, { signal: AbortSignal.abort(new Error("enough")) }));
    await pass();
    expect([run.ended, server.subscribed]).toEqual([new Error("enough"), []]);
  });
});

describe("a reader", () => {
  test("holds the run back: values that it has not taken are not acknowledged", async () => {
    const iterator = live.stream<number>("count").batches()[Symbol.asyncIterator]();
    const first = iterator.next();
    await pass();
    server.publish("count#1", [1]);
    await pass();
    server.publish("count#1", [2]);
    await pass(2000);
    expect(await first).toEqual({ done: false, value: [1] });
    expect(server.acknowledged).toEqual([]);
    expect(await iterator.next()).toEqual({ done: false, value: [2] });
    await pass(2000);
    expect(server.acknowledged).toEqual([{ "count#1": 1 }]);
  });

  test("may wait for several values at the same time", async () => {
    const iterator = live.stream<number>("count")[Symbol.asyncIterator]();
    const all = Promise.all([1, 2, 3, 4, 5].map(() => iterator.next()));
    await pass();
    server.publish("count#1", [1, 2]);
    await pass();
    server.publish("count#1", [3, 4]);
    server.end("count#1", 2000, "complete");
    await pass();
    expect((await all).map(({ value }) => value)).toEqual([1, 2, 3, 4, undefined]);
  });

  test("may wait for several batches at the same time", async () => {
    const iterator = live.stream<number>("count").batches()[Symbol.asyncIterator]();
    const all = Promise.all([iterator.next(), iterator.next()]);
    await pass();
    server.publish("count#1", [1]);
    await pass();
    server.publish("count#1", [2]);
    await pass();
    expect((await all).map(({ value }) => value)).toEqual([[1], [2]]);
  });
});

describe("errors", () => {
  test("a run that fails yields the values before, and then throws its error", async () => {
    const run = read(live.stream<number>("count"));
    await pass();
    server.publish("count#1", [1]);
    server.end("count#1", 2001, "it has failed");
    await pass();
    expect(run.values).toEqual([1]);
    expect(run.ended).toMatchObject({ name: "WirespeedError", code: 2001, message: "count: it has failed" });
  });

  test("a run that is refused throws its error", async () => {
    server.subscribes = () => ({ error: { code: 107, message: "message.number: not a number" } });
    const run = read(live.stream<number>("count", {}));
    await pass();
    expect(run.ended).toMatchObject({ code: 107, message: "count: message.number: not a number" });
  });

  test("values of two runs never mix: a run that has begun ends with its connection", async () => {
    server.subscribes = () => ({ subscribe: {} });
    const run = read(live.stream<number>("count"));
    await pass();
    server.publish("count#1", [1]);
    await pass();
    server.cut();
    await pass(2000);
    expect(run.values).toEqual([1]);
    expect(String(run.ended)).toContain("count: the connection was lost in the middle of the run");
    expect(server.subscribed).toEqual(["count#1"]);
    expect(server.acknowledged).toEqual([{ "count#1": 1 }]);
  });

  test("a run of a stream that resumes goes on, and acknowledges only what this connection has sent", async () => {
    const stream = live.stream<number>("count").batches()[Symbol.asyncIterator]();
    await pass();
    server.publish("count#1", [1]);
    await pass();
    expect(await stream.next()).toEqual({ done: false, value: [1] });
    server.publish("count#1", [2]);
    await pass();
    server.cut();
    await pass(2000);
    server.publish("count#1", [3, 4]);
    await pass();
    expect(await stream.next()).toEqual({ done: false, value: [2, 3, 4] });
    const last = stream.next();
    await pass(100);
    expect(server.acknowledged).toEqual([{ "count#1": 1 }]);
    server.end("count#1", 2000, "complete");
    await pass();
    expect(await last).toEqual({ done: true, value: undefined });
    expect(server.subscribed).toEqual(["count#1", "count#1"]);
  });

  test("a run that cannot be resumed throws", async () => {
    const run = read(live.stream<number>("count"));
    await pass();
    server.publish("count#1", [1]);
    await pass();
    server.subscribes = () => ({ error: { code: 112, message: "The run cannot be resumed." } });
    server.cut();
    await pass(2000);
    expect(run.values).toEqual([1]);
    expect(run.ended).toMatchObject({ code: 112, message: "count: The run cannot be resumed." });
  });

  test("a run that begins again instead of being resumed does not mix its values", async () => {
    const run = read(live.stream<number>("count"));
    await pass();
    server.publish("count#1", [1]);
    await pass();
    server.subscribes = () => ({ subscribe: { recoverable: true, was_recovering: true } });
    server.cut();
    await pass(2000);
    expect(run.values).toEqual([1]);
    expect(String(run.ended)).toContain("count: the connection was lost in the middle of the run");
  });

  test("a run without a value yet starts again", async () => {
    server.subscribes = () => ({ subscribe: {} });
    const run = read(live.stream<number>("count"));
    await pass();
    server.cut();
    await pass(2000);
    server.publish("count#1", [1]);
    server.end("count#1", 2000, "complete");
    await pass();
    expect(run).toEqual({ values: [1], ended: "complete" });
    expect(server.subscribed).toEqual(["count#1", "count#1"]);
  });

  test("a closed client ends its runs, and starts none", async () => {
    const before = read(live.stream<number>("before"));
    await pass();
    live.close();
    const after = read(live.stream<number>("after"));
    await pass();
    expect(String(before.ended)).toContain("before: The page has closed the connection. Connect again.");
    expect(String(after.ended)).toContain("after: The page has closed the connection.");
  });
});

describe("further messages", () => {
  test("are sent to the newest run, in order, also before it has begun on the server", async () => {
    const chat = live.stream<string>("chat");
    read(chat);
    const sent = Promise.all(["a", { text: "b" }].map((message) => chat.send(message)));
    await pass();
    await sent;
    expect(server.received.flatMap(({ publish }) => publish ?? [])).toEqual([
      { channel: "chat#1", data: "a" },
      { channel: "chat#1", data: { text: "b" } },
    ]);
  });

  test("are refused without a run, after it, and by the server", async () => {
    const chat = live.stream<string>("chat");
    await expect(chat.send("early")).rejects.toThrow("chat: the stream does not run");
    read(chat);
    await pass();
    server.answers = () => ({ error: { code: 107, message: "text: Field required" } });
    const refused = chat.send({}).catch((error: unknown) => error);
    await pass();
    expect(await refused).toMatchObject({ name: "WirespeedError", code: 107 });
    server.end("chat#1", 2000, "complete");
    await pass();
    await expect(chat.send("late")).rejects.toThrow("chat: the run is over; loop over the stream again");
  });
});

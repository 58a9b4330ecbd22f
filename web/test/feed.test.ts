import { beforeEach, describe, expect, test, vi } from "vitest";
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

/** Collects the arguments of a listener. */
function collect<T>(listen: (listener: (heard: T) => void) => unknown): T[] {
  const all: T[] = [];
  listen((heard) => void all.push(heard));
  return all;
}

test("listeners get the newest value at each paint, or every value", async () => {
  const newest = collect<number>((listener) => live.feed<number>("n").onValue(listener));
  const every = collect<number>((listener) => live.feed<number>("n", { every: true }).onValue(listener));
  const batches = collect<readonly number[]>((listener) => live.feed<number>("n", { every: true }).onBatch(listener));
  await pass();
  server.publish("n", [1, 2]);
  server.publish("n", [3]);
  await pass();
  server.publish("n", [4]);
  await pass();
  expect([newest, every, batches]).toEqual([[3, 4], [1, 2, 3, 4], [[1, 2, 3], [4]]]);
});

test("an element shows values as text", async () => {
  const element = document.createElement("b");
  const stop = live.feed<string>("text").bind(element, (value) => `<i>${value}</i>`);
  await pass();
  server.publish("text", ["old", "new"]);
  await pass();
  expect([element.textContent, element.children.length]).toEqual(["<i>new</i>", 0]);
  stop();
  server.publish("text", ["late"]);
  await pass();
  expect(element.textContent).toBe("<i>new</i>");
});

describe("a later listener", () => {
  test("gets the value that was painted last", async () => {
    live.feed("n").onValue(() => {});
    await pass();
    server.publish("n", [1]);
    await pass();
    const later = collect<number>((listener) => live.feed<number>("n").onValue(listener));
    expect(later).toEqual([]);
    await pass();
    expect(later).toEqual([1]);
  });

  test("gets a value that arrives at the same time once, in one paint", async () => {
    live.feed("n").onValue(() => {});
    await pass();
    server.publish("n", [1]);
    await pass();
    server.publish("n", [2]);
    await pass(1); // it has arrived, and is not painted yet
    const later = collect<readonly number[]>((listener) => live.feed<number>("n").onBatch(listener));
    await pass();
    expect(later).toEqual([[2]]);
  });
});

test("a listener that another one stopped is not called any more", async () => {
  const heard: number[] = [];
  let stop = (): void => {};
  live.feed<number>("n").onValue(() => stop());
  stop = live.feed<number>("n").onValue((value) => void heard.push(value));
  await pass();
  server.publish("n", [1]);
  await pass();
  expect(heard).toEqual([]);
});

test("an exception of a listener is reported, and the listener gets all later values", async () => {
  const reported: unknown[] = [];
  globalThis.reportError = (error) => void reported.push(error);
  const heard: number[] = [];
  live.feed<number>("n", { every: true }).onValue((value) => {
    heard.push(value);
    if (value === 1) {
      throw new Error("bug");
    }
  });
  await pass();
  server.publish("n", [1, 2, 3]);
  await pass();
  expect([heard, reported]).toEqual([[1, 2, 3], [new Error("bug")]]);
});

test("a loss is reported, with the number of values if the server knows it", async () => {
  const lost = collect<number | null>((listener) => live.feed("n", { every: true }).onLoss(listener));
  await pass();
  server.publish("n", [9], { lost: "8" });
  await pass();
  server.subscribes = (_, isBack) => ({
    subscribe: { recoverable: true, epoch: "f", offset: 40, was_recovering: isBack, recovered: false },
  });
  server.cut();
  await pass(2000);
  expect(lost).toEqual([8, null]);
});

test("those who subscribe get the current value at once, and each newer one once", async () => {
  const feed = live.feed<number>("n");
  const first = collect<number | undefined>((listener) => feed.subscribe(listener));
  await pass();
  server.publish("n", [1]);
  await pass();
  const second = collect<number | undefined>((listener) => feed.subscribe(listener));
  await pass();
  server.publish("n", [2, 3]);
  await pass();
  expect([first, second, feed.current]).toEqual([[undefined, 1, 3], [1, 3], 3]);
});

describe("a hidden tab", () => {
  beforeEach(() => {
    vi.spyOn(document, "hidden", "get").mockReturnValue(true);
    return () => void vi.restoreAllMocks();
  });

  test("delivers the values of feeds that want it, acknowledges them, and none of the others", async () => {
    const waiting = collect<number>((listener) => live.feed<number>("waits").onValue(listener));
    const newest = collect<number>((listener) => live.feed<number>("n", { hidden: "deliver" }).onValue(listener));
    const every = collect<number>((listener) => live.feed<number>("e", { hidden: "deliver", every: true }).onValue(listener));
    await pass();
    for (const channel of ["waits", "n", "e"]) {
      server.publish(channel, [1, 2]);
      server.publish(channel, [3]);
    }
    await pass();
    expect([waiting, newest, every]).toEqual([[], [2, 3], [1, 2, 3]]);
    expect(server.acknowledged.at(-1)).toEqual({ n: 2, e: 2 });
  });

  test("delivers to all listeners of a subscription while one of them wants it", async () => {
    const all = collect<number>((listener) => live.feed<number>("n").onValue(listener));
    const stop = live.feed<number>("n", { hidden: "deliver" }).onValue(() => {});
    await pass();
    server.publish("n", [1]);
    await pass();
    stop();
    server.publish("n", [2]);
    await pass();
    expect(all).toEqual([1]);
  });
});

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

/** Collects what a listener is called with. */
function collect<T>(listen: (listener: (heard: T) => void) => unknown): T[] {
  const all: T[] = [];
  listen((heard) => void all.push(heard));
  return all;
}

test("the newest value at each paint, or every one", async () => {
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

describe("whoever comes later", () => {
  test("gets what was painted last", async () => {
    live.feed("n").onValue(() => {});
    await pass();
    server.publish("n", [1]);
    await pass();
    const later = collect<number>((listener) => live.feed<number>("n").onValue(listener));
    expect(later).toEqual([]);
    await pass();
    expect(later).toEqual([1]);
  });

  test("gets a value that comes at the same time once, with one paint", async () => {
    live.feed("n").onValue(() => {});
    await pass();
    server.publish("n", [1]);
    await pass();
    server.publish("n", [2]);
    await pass(1); // here, and not yet painted
    const later = collect<readonly number[]>((listener) => live.feed<number>("n").onBatch(listener));
    await pass();
    expect(later).toEqual([[2]]);
  });
});

test("whoever was stopped by another listener hears nothing more", async () => {
  const heard: number[] = [];
  let stop = (): void => {};
  live.feed<number>("n").onValue(() => stop());
  stop = live.feed<number>("n").onValue((value) => void heard.push(value));
  await pass();
  server.publish("n", [1]);
  await pass();
  expect(heard).toEqual([]);
});

test("a listener that throws is reported, and misses none of the values after", async () => {
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

test("a loss is told, with its count where the server knows it", async () => {
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

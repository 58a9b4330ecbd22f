import { beforeEach, expect, test, vi } from "vitest";
import { Acknowledgements } from "../src/acknowledgements.js";

let sent: [number, Record<string, number>][];
let acknowledgements: Acknowledgements;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  vi.setSystemTime(0);
  sent = [];
  const begun = performance.now();
  acknowledgements = new Acknowledgements((counts) => {
    sent.push([Math.round(performance.now() - begun), counts]);
    return Promise.reject(new Error("not connected"));
  });
  return () => vi.useRealTimers();
});

test("the first one is sent at once, in one message for all", () => {
  acknowledgements.add({ channel: "a", handled: 1 });
  acknowledgements.add({ channel: "b", handled: 7 });
  vi.advanceTimersByTime(5);
  expect(sent).toEqual([[0, { a: 1, b: 7 }]]);
});

test("there are at most ten per second, and the last one is sent, too", () => {
  const one = { channel: "a", handled: 0 };
  for (let count = 1; count <= 60; count += 1) {
    one.handled = count;
    acknowledgements.add(one);
    vi.advanceTimersByTime(16);
  }
  vi.advanceTimersByTime(1000);
  expect(sent.length).toBeLessThanOrEqual(11);
  expect(sent.at(-1)?.[1]).toEqual({ a: 60 });
});

test("after the page was busy, two are sent without waiting", () => {
  const one = { channel: "a", handled: 1 };
  acknowledgements.add(one);
  vi.advanceTimersByTime(10);
  one.handled = 2;
  acknowledgements.add(one);
  acknowledgements.hurry();
  vi.advanceTimersByTime(10);
  one.handled = 3;
  acknowledgements.add(one);
  vi.advanceTimersByTime(10);
  one.handled = 4;
  acknowledgements.add(one);
  vi.advanceTimersByTime(10);
  expect(sent.map(([, counts]) => counts)).toEqual([{ a: 1 }, { a: 2 }, { a: 3 }]);
  vi.advanceTimersByTime(100);
  expect(sent.at(-1)?.[1]).toEqual({ a: 4 });
});

test("a subscription that is over is not acknowledged", () => {
  const one = { channel: "a", handled: 1 };
  acknowledgements.add(one);
  acknowledgements.remove(one);
  vi.advanceTimersByTime(1000);
  expect(sent).toEqual([]);
});

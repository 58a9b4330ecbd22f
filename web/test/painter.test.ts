import { beforeEach, expect, test, vi } from "vitest";
import { Painter } from "../src/painter.js";

let painted: string[];
let late: number;
let painter: Painter;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["requestAnimationFrame", "performance"] });
  painted = [];
  late = 0;
  painter = new Painter(() => void (late += 1));
  return () => vi.useRealTimers();
});

function part(name: string): { paint(): void } {
  return { paint: () => void painted.push(name) };
}

test("values that arrive between two frames are painted once, in the next one", () => {
  const one = part("a");
  painter.add(one);
  painter.add(part("b"));
  painter.add(one);
  expect(painted).toEqual([]);
  vi.advanceTimersToNextFrame();
  expect(painted).toEqual(["a", "b"]);
  vi.advanceTimersToNextFrame();
  expect(painted).toEqual(["a", "b"]);
});

test("values that arrive during a paint are painted in the next frame", () => {
  painter.add({ paint: () => painter.add(part("next")) });
  vi.advanceTimersToNextFrame();
  expect(painted).toEqual([]);
  vi.advanceTimersToNextFrame();
  expect(painted).toEqual(["next"]);
});

test("an exception is reported, and the others are painted", () => {
  const reported: unknown[] = [];
  globalThis.reportError = (error) => void reported.push(error);
  painter.add({
    paint: () => {
      throw new Error("bug");
    },
  });
  painter.add(part("a"));
  vi.advanceTimersToNextFrame();
  expect([painted, reported]).toEqual([["a"], [new Error("bug")]]);
});

test("a gap between paints is noticed, and nothing else is", () => {
  painter.add(part("a"));
  vi.advanceTimersToNextFrame();
  late = 0;
  painter.add(part("a"));
  vi.advanceTimersToNextFrame();
  expect(late).toBe(0);
  vi.advanceTimersByTime(300);
  painter.add(part("a"));
  vi.advanceTimersToNextFrame();
  expect(late).toBe(1);
});

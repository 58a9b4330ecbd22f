import { beforeEach, expect, test, vi } from "vitest";
import { type Paintable, Painter } from "../src/painter.js";

let painted: string[];
let late: number;
let painter: Painter;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["requestAnimationFrame", "performance"] });
  painted = [];
  late = 0;
  painter = new Painter(() => void (late += 1));
  return () => {
    vi.restoreAllMocks();
    vi.useRealTimers();
  };
});

function part(name: string, paintsHidden = false): Paintable {
  return { paintsHidden, paint: () => void painted.push(name) };
}

/** Hides the tab, or shows it. */
function hide(isHidden: boolean): void {
  vi.spyOn(document, "hidden", "get").mockReturnValue(isHidden);
  painter.turn();
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
  painter.add({ paintsHidden: false, paint: () => painter.add(part("next")) });
  vi.advanceTimersToNextFrame();
  expect(painted).toEqual([]);
  vi.advanceTimersToNextFrame();
  expect(painted).toEqual(["next"]);
});

test("an exception is reported, and the others are painted", () => {
  const reported: unknown[] = [];
  globalThis.reportError = (error) => void reported.push(error);
  painter.add({
    paintsHidden: false,
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

test("a hidden tab paints nothing, even if its browser has frames for it, until it is shown", () => {
  painter.add(part("before"));
  hide(true);
  painter.add(part("a"));
  vi.advanceTimersByTime(1_000);
  expect(painted).toEqual([]);
  hide(false);
  vi.advanceTimersToNextFrame();
  expect(painted).toEqual(["before", "a"]);
});

test("a hidden tab paints at once what wants it, and requests no frame", async () => {
  painter.add(part("waits", true));
  hide(true);
  const frame = vi.spyOn(globalThis, "requestAnimationFrame");
  painter.add(part("shown later"));
  painter.add(part("at once", true));
  expect(painted).toEqual([]);
  await Promise.resolve();
  expect([painted, frame.mock.calls]).toEqual([["waits", "at once"], []]);
});

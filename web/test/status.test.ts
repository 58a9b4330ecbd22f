import { expect, test } from "vitest";
import { StatusVariable } from "../src/status.js";

test("a connection that was never connected is not stale", () => {
  const status = new StatusVariable();
  status.become("stale", { reason: "lost", code: 1 });
  expect(status.current.state).toBe("connecting");
  status.become("connected");
  status.become("stale", { reason: "lost", code: 1 });
  expect(status.current).toMatchObject({ state: "stale", reason: "lost", code: 1 });
});

test("listeners get the current value and each change, until they stop", () => {
  const status = new StatusVariable();
  const heard: string[] = [];
  const listener = ({ state }: { state: string }): void => void heard.push(state);
  const stop = status.subscribe(listener);
  const other = status.subscribe(listener);
  status.become("connected");
  stop();
  status.become("closed");
  other();
  status.become("connected");
  expect(heard).toEqual(["connecting", "connecting", "connected", "connected", "closed"]);
});

test("an exception of a listener is reported, and the others are called", () => {
  const reported: unknown[] = [];
  globalThis.reportError = (error) => void reported.push(error);
  const status = new StatusVariable();
  let isBroken = false;
  status.subscribe(() => {
    if (isBroken) {
      throw new Error("bug");
    }
  });
  const heard: string[] = [];
  status.subscribe(({ state }) => void heard.push(state));
  isBroken = true;
  status.become("connected");
  expect([heard, reported]).toEqual([["connecting", "connected"], [new Error("bug")]]);
});

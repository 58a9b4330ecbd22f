import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { watch } from "../../console/src/watch.js";
import { answerWith, pass, serve, socketOf, sockets } from "./place.js";

let seen: unknown[];
let links: string[];
let stop: () => void;

beforeEach(() => {
  vi.useFakeTimers();
  serve();
  seen = [];
  links = [];
  stop = watch("keys", { path: "/price/{symbol}", limit: 100 }, {
    onValue: (value) => seen.push(value),
    onLink: (link, reason) => links.push(reason ? `${link}: ${reason}` : link),
  });
});

afterEach(() => {
  stop();
  Object.defineProperty(document, "hidden", { configurable: true, get: () => false });
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function hide(isHidden: boolean): void {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => isHidden });
  document.dispatchEvent(new Event("visibilitychange"));
}

test("values arrive from a WebSocket beside the page, with the query", () => {
  const { url } = socketOf("keys");
  expect([url.protocol, url.searchParams.get("path"), url.searchParams.get("limit")]).toEqual(["ws:", "/price/{symbol}", "100"]);
  socketOf("keys").send({ total: 1 });
  expect(seen).toEqual([{ total: 1 }]);
  expect(links).toEqual(["connecting", "live"]);
});

test("a lost connection is opened again, later each time, until it brings a value", async () => {
  socketOf("keys").end(1006);
  expect(links.at(-1)).toBe("lost");
  await vi.advanceTimersByTimeAsync(800);
  expect(sockets).toHaveLength(2);
  socketOf("keys").end(1006);
  await vi.advanceTimersByTimeAsync(1600);
  expect(sockets).toHaveLength(3);
  socketOf("keys").send({ total: 2 });
  expect(links.at(-1)).toBe("live");
  socketOf("keys").end(1012);
  await vi.advanceTimersByTimeAsync(800);
  expect(sockets).toHaveLength(4);
});

test.each([
  ["by a close", () => socketOf("keys").end(1008, "Not you.")],
  ["by an error", () => socketOf("keys").send({ error: { code: 404, message: "Not you." } })],
])("a refusal %s is shown and is final", async (_, refuse) => {
  refuse();
  expect(links.at(-1)).toBe("refused: Not you.");
  await vi.advanceTimersByTimeAsync(60_000);
  expect(sockets).toHaveLength(1);
});

test("a page that is not allowed any more says so: its handshakes fail like a lost network", async () => {
  answerWith(401);
  socketOf("keys").end(1006);
  await pass();
  expect(links.at(-1)).toMatch(/^refused: .*Sign in/);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(sockets).toHaveLength(1);
});

test("an error of the server is followed by another attempt", async () => {
  socketOf("keys").send({ error: { code: 500, message: "The feed failed." } });
  socketOf("keys").end(1011);
  expect(links.at(-1)).toBe("lost");
  await vi.advanceTimersByTimeAsync(800);
  expect(sockets).toHaveLength(2);
});

test("a tab that stays hidden watches nothing, and watches again when it is shown", async () => {
  hide(true);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(sockets.map(({ readyState }) => readyState)).toEqual([3]);
  expect(links.at(-1)).toBe("resting");
  hide(false);
  expect(sockets.map(({ readyState }) => readyState)).toEqual([3, 1]);
});

test("a tab that is hidden for a moment keeps its connection", async () => {
  hide(true);
  await vi.advanceTimersByTimeAsync(5_000);
  hide(false);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(sockets.map(({ readyState }) => readyState)).toEqual([1]);
});

test("nothing is opened after the watch has ended", async () => {
  const socket = socketOf("keys");
  socket.end(1006);
  stop();
  hide(true);
  hide(false);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(sockets).toHaveLength(1);
});

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Live } from "../src/index.js";
import { fakeTime, pass, Server } from "./server.js";

let server: Server;
let live: Live;
let restore: () => void;

beforeEach(async () => {
  restore = fakeTime();
  server = new Server();
  live = server.client();
  await pass();
});

afterEach(() => {
  live.close();
  restore();
});

test("a call returns the value, or throws the error of its refusal", async () => {
  const answered = live.call<object>("/add", { a: 1, b: 2 });
  await pass();
  expect(await answered).toEqual({ a: 1, b: 2 });
  expect(server.received.at(-1)?.rpc).toEqual({ method: "add", data: { a: 1, b: 2 } });
  server.answers = () => ({ error: { code: 102, message: "unknown method" } });
  const refused = live.call("subtract").catch((error: unknown) => error);
  await pass();
  expect(await refused).toMatchObject({ name: "WirespeedError", code: 102 });
});

test("a message to a topic is sent, or throws the error of its refusal", async () => {
  const taken = live.publish("chat", "hi");
  await pass();
  expect(await taken).toBeUndefined();
  server.answers = () => ({ error: { code: 103, message: "permission denied" } });
  const refused = live.publish("chat", "hi").catch((error: unknown) => error);
  await pass();
  expect(await refused).toMatchObject({ code: 103, message: "chat: permission denied. You are not allowed to do this." });
});

describe("the address", () => {
  const page = location.origin.replace("http", "ws");

  test.each([
    ["the page's own server", {}, `${page}/live/websocket`],
    ["a path of it", { url: "/other/websocket" }, `${page}/other/websocket`],
    ["another address", { url: "wss://host/live/websocket" }, "wss://host/live/websocket"],
    ["an address of a page", { url: "https://host/live/websocket" }, "wss://host/live/websocket"],
  ])("%s", async (_, options, address) => {
    const other = server.client(options);
    await pass();
    other.close();
    expect(server.addresses.at(-1)).toBe(address);
  });
});

describe("status", () => {
  test("is connecting, connected, stale, connected again, and closed by the page", async () => {
    const other = server.client();
    const states: string[] = [];
    other.status.subscribe(({ state }) => void states.push(state));
    await pass();
    server.cut();
    await pass(2000);
    other.close();
    expect(states).toEqual(["connecting", "connected", "stale", "connected", "closed"]);
  });

  test("is closed by the server, with its reason, and calls fail at once", async () => {
    server.disconnect(3500, "banned");
    await pass();
    expect(live.status.current).toMatchObject({ state: "closed", reason: "banned" });
    await expect(live.call("add")).rejects.toThrow("add: the connection is closed (banned); connect again");
    await expect(live.publish("chat", "hi")).rejects.toThrow("chat: the connection is closed (banned); connect again");
  });

  test("is closed with the status and detail of a refused connect, which calls, feeds and streams have, too", async () => {
    server.connects = { error: { code: 402, message: '{"message":"Pay first.","status":402,"detail":{"plan":"free"}}' } };
    const other = server.client();
    const caught = (error: unknown): unknown => error;
    const early = other.call("add").catch(caught);
    const run = other.stream("count").batches()[Symbol.asyncIterator]().next().catch(caught);
    const feed = other.feed("price");
    feed.onValue(() => {});
    await pass();
    expect(server.received.flatMap(({ connect }) => connect?.name ?? []).at(-1)).toBe("wirespeed");
    const refused = { status: 402, detail: { plan: "free" } };
    expect(other.status.current).toMatchObject({ state: "closed", reason: "Pay first.", error: { code: 402, ...refused } });
    expect(feed.status.current).toMatchObject({ state: "closed", reason: "Pay first.", error: refused });
    const message = "add: the connection is closed (Pay first.); connect again";
    expect(await early).toMatchObject({ message, ...refused });
    expect(await run).toMatchObject(refused);
    await expect(other.call("add")).rejects.toMatchObject({ message, ...refused });
  });

  test("a page that was left is disconnected, and reconnects when it is shown again", async () => {
    dispatchEvent(new Event("pagehide"));
    await pass();
    expect(live.status.current).toMatchObject({ state: "stale", reason: "the page was left" });
    dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));
    await pass();
    expect(live.status.current.state).toBe("connected");
  });

  test("a client that was closed stays closed when its page is shown again", async () => {
    live.close();
    dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));
    await pass();
    expect(live.status.current.state).toBe("closed");
  });
});

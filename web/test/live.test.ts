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

describe("messages of the app", () => {
  test("each is passed to all listeners at once, and notices of our own are not", async () => {
    const heard: unknown[] = [];
    const stop = live.messages.subscribe((message) => void heard.push(message));
    live.messages.subscribe<string>((message) => void heard.push(`${message}!`));
    for (const data of ["a", null, { wirespeed: { status: {} } }]) {
      server.say(data);
    }
    await pass();
    stop();
    server.say("b");
    await pass();
    expect(heard).toEqual(["a", "a!", null, "null!", "b!"]);
  });

  test("an exception of a listener is reported, and the others get the message", async () => {
    const reported: unknown[] = [];
    globalThis.reportError = (error) => void reported.push(error);
    const heard: unknown[] = [];
    live.messages.subscribe(() => {
      throw new Error("bug");
    });
    live.messages.subscribe((message) => void heard.push(message));
    server.say(1);
    await pass();
    expect([heard, reported]).toEqual([[1], [new Error("bug")]]);
  });
});

describe("reconnect", () => {
  const SLOW = { sdk: { minReconnectDelay: 60_000, maxReconnectDelay: 60_000 } };

  test.each([
    ["when the page asks for it", (other: Live) => other.reconnect()],
    ["when the tab is shown", () => document.dispatchEvent(new Event("visibilitychange"))],
    ["when the network is back", () => dispatchEvent(new Event("online"))],
  ])("a client that waits tries at once %s", async (_, hurry) => {
    const other = server.client(SLOW);
    await pass();
    server.cut();
    await pass();
    expect(other.status.current).toMatchObject({ state: "stale", code: 1, reason: "The connection was lost; trying again." });
    hurry(other);
    await pass();
    expect(other.status.current.state).toBe("connected");
    other.close();
  });

  test("a client that is connected connects again, with another token, and its feeds go on", async () => {
    const tokens = ["first", "second"];
    const other = server.client({ token: async () => tokens.shift() ?? null });
    const heard: number[] = [];
    other.feed<number>("n").onValue((value) => void heard.push(value));
    await pass();
    other.reconnect();
    await pass();
    server.publish("n", [7]);
    await pass();
    expect(server.received.flatMap(({ connect }) => connect?.token ?? [])).toEqual(["first", "second"]);
    expect([heard, other.status.current.state]).toEqual([[7], "connected"]);
    other.close();
  });

  test("an attempt that is under way with the cookies from before is given up", async () => {
    const other = server.client();
    const { length } = server.addresses;
    other.reconnect();
    await pass();
    expect(server.addresses.length).toBe(length + 1);
    expect(other.status.current.state).toBe("connected");
    other.close();
  });

  test("an attempt that is under way with the token from before is given up", async () => {
    const tokens = ["before", "after"];
    const other = server.client({ token: async () => tokens.shift() ?? null });
    const heard: number[] = [];
    other.feed<number>("n").onValue((value) => void heard.push(value));
    await Promise.resolve();
    other.reconnect();
    await pass();
    server.publish("n", [7]);
    await pass();
    expect(server.received.flatMap(({ connect }) => connect?.token ?? [])).toEqual(["after"]);
    expect([heard, other.status.current.state]).toEqual([[7], "connected"]);
    other.close();
  });

  test("a feed that was refused is tried again, and one that is complete is not", async () => {
    server.subscribes = () => ({ error: { code: 103, message: "permission denied" } });
    const feed = live.feed<number>("balance");
    feed.status.subscribe(() => {});
    feed.onValue(() => {});
    await pass();
    expect(feed.status.current).toMatchObject({ state: "closed", code: 103 });
    server.subscribes = () => ({ subscribe: {} });
    live.feed("once").onValue(() => {});
    await pass();
    server.end("once", 2000, "complete");
    await pass();
    live.reconnect();
    await pass();
    expect(feed.status.current.state).toBe("connected");
    expect(server.subscribed.filter((channel) => channel === "once")).toEqual(["once"]);
  });

  test("a client that the server has closed connects again, and one that the page has closed cannot", async () => {
    server.disconnect(3500, "banned");
    await pass();
    document.dispatchEvent(new Event("visibilitychange"));
    await pass();
    expect(live.status.current.state).toBe("closed");
    live.reconnect();
    await pass();
    expect(live.status.current.state).toBe("connected");
    live.close();
    expect(() => live.reconnect()).toThrow("The page has closed the connection. Connect again.");
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
    expect(live.status.current).toMatchObject({ state: "closed", reason: "The server has closed the connection: banned.", code: 3500 });
    await expect(live.call("add")).rejects.toThrow("add: The server has closed the connection: banned. Connect again.");
    await expect(live.publish("chat", "hi")).rejects.toThrow("chat: The server has closed the connection: banned. Connect again.");
  });

  test("a first attempt that fails says so, and the client stays connecting", async () => {
    server.isAway = true;
    const other = server.client({ sdk: { minReconnectDelay: 1_000, maxReconnectDelay: 1_000 } });
    const { since } = other.status.current;
    await pass(100);
    server.isAway = false;
    expect(other.status.current).toMatchObject({ state: "connecting", since, reason: "The server cannot be reached; trying again." });
    await pass(3_000);
    expect(other.status.current).toEqual({ state: "connected", since: expect.any(Number) });
    other.close();
  });

  test("a server that stops says so", async () => {
    server.disconnect(3001, "shutdown");
    await pass(1);
    expect(live.status.current).toMatchObject({ state: "stale", code: 3001, reason: "The server is restarting; trying again." });
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
    const message = "add: Pay first. Connect again.";
    expect(await early).toMatchObject({ message, ...refused });
    expect(await run).toMatchObject(refused);
    await expect(other.call("add")).rejects.toMatchObject({ message, ...refused });
  });

  test("says why the server refuses the connection for now", async () => {
    server.connects = { error: { code: 503, message: '{"message":"Closed until 9.","status":503,"detail":{"at":9}}', temporary: true } };
    const other = server.client();
    await pass();
    const error = { code: 503, message: "Closed until 9.", status: 503, detail: { at: 9 } };
    expect(other.status.current).toMatchObject({ state: "connecting", reason: "Closed until 9; trying again.", code: 503, error });
    server.connects = { connect: { client: "c", version: "1" } };
    await pass(2000);
    expect(other.status.current).toEqual({ state: "connected", since: expect.any(Number) });
    other.close();
  });

  test("a page that was left is disconnected, and reconnects when it is shown again", async () => {
    dispatchEvent(new Event("pagehide"));
    await pass();
    expect(live.status.current).toMatchObject({ state: "stale", reason: "The page was left.", code: 0 });
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

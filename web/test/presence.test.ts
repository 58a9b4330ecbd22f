import { beforeEach, describe, expect, test, vi } from "vitest";
import type { Live, Member } from "../src/index.js";
import { type Answer, fakeTime, pass, Server } from "./server.js";

let server: Server;
let live: Live;
let changes: [string[], string[], string[]][];

beforeEach(async () => {
  const restore = fakeTime();
  server = new Server();
  live = server.client();
  changes = [];
  here("a");
  await pass();
  return () => {
    vi.restoreAllMocks();
    live.close();
    restore();
  };
});

/** Lets the server answer that clients are present. */
function here(...clients: string[]): void {
  const info = (client: string): Answer => ({ client, user: "u", conn_info: { name: client } });
  server.answers = () => ({ presence: { presence: Object.fromEntries(clients.map((client) => [client, info(client)])) } });
}

function clients(members: Iterable<Member>): string[] {
  return [...members].map(({ client }) => client);
}

/** Collects the changes of a room. */
function watch(): () => void {
  return live.presence("room").onChange((joined, left, members) => {
    changes.push([clients(joined), clients(left), clients(members.values())]);
  });
}

test("members are those of the server's answer, and those who join and leave", async () => {
  watch();
  await pass();
  server.member("room", "join", "b");
  server.member("room", "join", "c");
  await pass();
  server.member("room", "leave", "a");
  await pass();
  expect(changes).toEqual([[["a"], [], ["a"]], [["b", "c"], [], ["a", "b", "c"]], [[], ["a"], ["b", "c"]]]);
  expect(live.presence("room").status.current.state).toBe("connected");
});

test("members have their public data, and those who subscribe get all members at once and after each change", async () => {
  const room = live.presence<{ name: string }>("room");
  const seen: string[][] = [];
  room.subscribe((members) => void seen.push(clients(members.values())));
  await pass();
  room.subscribe((members) => void seen.push(clients(members.values())));
  server.member("room", "join", "b");
  await pass();
  expect(seen).toEqual([[], ["a"], ["a"], ["a", "b"], ["a", "b"]]);
  expect(room.current.get("a")).toEqual({ client: "a", user: "u", info: { name: "a" } });
});

test("a client that leaves while the question is open is not a member, although the answer names it", async () => {
  server.answers = () => {
    server.member("room", "leave", "a"); // the answer is older, and arrives later
    server.member("room", "join", "b");
    return { presence: { presence: { a: { client: "a", user: "u" } } } };
  };
  watch();
  await pass();
  expect(changes).toEqual([[["b"], [], ["b"]]]);
});

test("after a lost connection the members are asked for again", async () => {
  watch();
  await pass();
  here("b");
  server.cut();
  await pass(2_000);
  expect(changes).toEqual([[["a"], [], ["a"]], [["b"], ["a"], ["b"]]]);
});

test("members are known although the source of the values fails", async () => {
  const { subscribes } = server;
  server.subscribes = (channel, isBack) => {
    setTimeout(() => server.say({ wirespeed: { status: { room: { state: "failing", since: 1 } } } }), 0);
    return subscribes(channel, isBack);
  };
  watch();
  await pass();
  expect(live.feed("room").status.current.state).toBe("failing");
  expect(changes).toEqual([[["a"], [], ["a"]]]);
  expect(live.presence("room").status.current.state).toBe("connected");
  here("a", "b");
  live.presence("room").refresh();
  await pass();
  expect(changes.at(-1)).toEqual([["b"], [], ["a", "b"]]);
});

test("a page can ask again", async () => {
  watch();
  await pass();
  here("a", "b");
  live.presence("room").refresh();
  await pass();
  expect(changes.at(-1)).toEqual([["b"], [], ["a", "b"]]);
});

test("no more than 1,000 members are kept", async () => {
  here(...Array.from({ length: 999 }, (_, number) => `c${number}`));
  watch();
  await pass();
  ["x", "y", "z"].forEach((client) => server.member("room", "join", client));
  await pass();
  expect([changes[1]?.[0], live.presence("room").current.size]).toEqual([["x"], 1_000]);
});

test("a feed and its presence share one subscription, which ends with the last listener", async () => {
  const stops = [watch(), live.feed("room").onValue(() => {})];
  await pass();
  stops[1]?.();
  await pass();
  expect([server.subscribed, server.unsubscribed]).toEqual([["room"], []]);
  stops[0]?.();
  await pass();
  expect(server.unsubscribed).toEqual(["room"]);
  expect(live.presence("room").current.size).toBe(0);
});

test("a listener that returns in the same turn finds the members, and nothing is asked again", async () => {
  const stop = watch();
  await pass();
  stop();
  watch();
  await pass();
  expect(changes).toEqual([[["a"], [], ["a"]], [["a"], [], ["a"]]]);
  expect(server.received.filter(({ presence }) => presence)).toHaveLength(1);
});

test("an answer for a listener that has left is ignored, and so is one of a page that leaves meanwhile", async () => {
  watch()();
  await pass(1);
  const stop = watch();
  await pass(1);
  stop();
  await pass();
  expect([changes, live.presence("room").current.size]).toEqual([[], 0]);
});

describe("a refusal", () => {
  test.each([
    ["of the question", () => (server.answers = () => ({ error: { code: 108, message: "not available" } })), 108],
    ["of the subscription", () => (server.subscribes = () => ({ error: { code: 103, message: "permission denied" } })), 103],
  ])("%s is in the status; if the page does not watch that, it is logged to the console", async (_, refuse, code) => {
    const console = vi.spyOn(globalThis.console, "error").mockReturnValue();
    refuse();
    watch();
    await pass();
    expect(live.presence("room").status.current).toMatchObject({ state: "closed", code, error: { code } });
    expect(console.mock.calls).toEqual([[live.presence("room").status.current.reason]]);
  });

  test("for now is tried again", async () => {
    server.answers = () => ({ error: { code: 503, message: "the broker is away", temporary: true } });
    watch();
    await pass();
    expect(live.presence("room").status.current.state).toBe("connecting");
    here("a");
    await pass(2_500);
    expect(changes).toEqual([[["a"], [], ["a"]]]);
  });
});

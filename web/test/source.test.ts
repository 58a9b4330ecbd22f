import { beforeEach, describe, expect, test, vi } from "vitest";
import type { Live } from "../src/index.js";
import { fakeTime, pass, Server } from "./server.js";

let server: Server;
let live: Live;

beforeEach(() => {
  const restore = fakeTime();
  server = new Server();
  live = server.client();
  return () => {
    live.close();
    restore();
  };
});

describe("subscriptions", () => {
  test("there is one for all listeners, while there are any", async () => {
    const stops = [1, 2, 3].map(() => live.feed("price").onValue(() => {}));
    await pass();
    stops.forEach((stop) => stop());
    expect(server.subscribed).toEqual(["price"]);
    expect(server.unsubscribed).toEqual([]);
    await pass();
    expect(server.unsubscribed).toEqual(["price"]);
  });

  test("it stays for a listener that returns in the same turn", async () => {
    const stop = live.feed("price").onValue(() => {});
    await pass();
    stop();
    live.feed("price").onValue(() => {});
    await pass();
    expect([server.subscribed, server.unsubscribed]).toEqual([["price"], []]);
  });

  test("it starts again for a later listener", async () => {
    const feed = live.feed<number>("price");
    feed.onValue(() => {})();
    await pass();
    feed.onValue(() => {});
    await pass();
    server.publish("price", [7]);
    await pass();
    expect(server.subscribed).toEqual(["price", "price"]);
    expect(feed.value).toBe(7);
  });
});

test("a value that was sent to the previous subscription is not passed to the next one", async () => {
  const stop = live.feed<number>("price").onValue(() => {});
  await pass();
  stop();
  await pass(1);
  const got: number[] = [];
  live.feed<number>("price", { every: true }).onValue((value) => got.push(value));
  server.publish("price", [1]); // in transit when the page left
  await pass();
  expect(server.subscribed).toEqual(["price", "price"]);
  server.publish("price", [2]);
  await pass();
  expect(got).toEqual([2]);
});

test("after a value of the identity's subscription and a lost connection, a feed does not resume behind that value", async () => {
  const [got, lost]: [number[], (number | null)[]] = [[], []];
  const feed = live.feed<number>("news", { every: true });
  feed.onValue((value) => got.push(value));
  feed.onLoss((count) => lost.push(count));
  await pass();
  server.publish("news", [1]);
  await pass();
  server.subscribes = () => ({}); // no answer yet: the server's own subscription is alive
  server.cut();
  await pass(100);
  server.publish("news", [2]);
  await pass(100);
  server.subscribes = () => ({ subscribe: { recoverable: true, positioned: true, epoch: "e", offset: 2 } });
  server.cut();
  await pass(2_000);
  server.publish("news", [3]);
  await pass();
  expect(server.received.flatMap(({ subscribe }) => (subscribe ? [subscribe.recover ?? false] : []))).toEqual([false, true, false]);
  expect([got, lost, feed.status.current.state]).toEqual([[1, 3], [null], "connected"]);
});

test("a feed that is complete stays so, whatever the identity's subscription brings", async () => {
  const feed = live.feed<number>("news");
  feed.onValue(() => {});
  await pass();
  server.end("news", 2000, "complete");
  await pass();
  server.publish("news", [1]);
  await pass();
  server.cut();
  await pass(2_000);
  expect([server.subscribed, feed.status.current.state, feed.value]).toEqual([["news"], "closed", undefined]);
});

describe("acknowledgements", () => {
  test("they count the publications that were painted since the subscribe", async () => {
    live.feed("price").onValue(() => {});
    await pass();
    server.publish("price", [1, 2]);
    server.publish("price", [3]);
    await pass();
    server.publish("price", [4]);
    await pass();
    expect(server.acknowledged).toEqual([{ price: 2 }, { price: 3 }]);
  });

  test("a page that does not paint acknowledges nothing", async () => {
    vi.spyOn(globalThis, "requestAnimationFrame").mockReturnValue(1);
    live.feed("price").onValue(() => {});
    await pass();
    server.publish("price", [1]);
    await pass(2000);
    expect(server.acknowledged).toEqual([]);
    vi.restoreAllMocks();
  });

  test("those of a lost connection are not sent on the next one", async () => {
    const heard: number[] = [];
    live.feed<number>("price").onValue((value) => void heard.push(value));
    await pass();
    for (let value = 1; value <= 20; value += 1) {
      server.publish("price", [value]);
    }
    await pass(1); // it has arrived, and is not painted yet
    server.cut();
    await pass(2000);
    expect(heard).toEqual([20]);
    expect(server.subscribed).toEqual(["price", "price"]);
    expect(server.acknowledged).toEqual([]);
    server.publish("price", [21]);
    await pass();
    expect(server.acknowledged).toEqual([{ price: 1 }]);
  });

  test("those of a subscription that fell behind are not sent for the next one", async () => {
    live.feed("price").onValue(() => {});
    await pass();
    server.publish("price", [1]);
    server.publish("price", [2]);
    server.end("price", 2500, "fell behind");
    await pass(2000);
    expect(server.subscribed).toEqual(["price", "price"]);
    expect(server.acknowledged).toEqual([]);
  });
});

describe("status", () => {
  test("it is connected, stale while the connection is lost, and connected again", async () => {
    const states: string[] = [];
    const feed = live.feed("price");
    feed.onValue(() => {});
    feed.status.subscribe(({ state }) => void states.push(state));
    await pass();
    server.cut();
    await pass(2000);
    expect(states).toEqual(["connecting", "connected", "stale", "connected"]);
  });

  test("a feed is stale while the server has lost its broker", async () => {
    const STALE = { state: "stale", since: 1_700_000_000.5 };
    const states: [string, string?][] = [];
    const feed = live.feed("price");
    const other = live.feed("other");
    for (const each of [feed, other]) {
      each.onValue(() => {});
    }
    feed.status.subscribe(({ state, reason }) => void states.push(reason ? [state, reason] : [state]));
    await pass();
    for (const data of [{ wirespeed: { status: { price: STALE, unknown: STALE } } }, null, "of the app", {}]) {
      server.say(data);
    }
    await pass();
    expect(other.status.current.state).toBe("connected");
    expect(live.status.current.state).toBe("connected");
    server.publish("price", [1]);
    server.say({ wirespeed: { status: { price: { state: "live", since: 1_700_000_012 } } } });
    await pass();
    expect(states).toEqual([["connecting"], ["connected"], ["stale", "The server cannot reach its broker; trying again."], ["connected"]]);
    expect(feed.value).toBe(1);
  });

  test("a feed whose source fails says since when, and why if the app has said so", async () => {
    const feed = live.feed("price");
    feed.onValue(() => {});
    await pass();
    server.publish("price", [1]);
    server.say({ wirespeed: { status: { price: { state: "failing", since: 1_700_000_000.5 } } } });
    await pass();
    expect(feed.status.current).toEqual({ state: "failing", since: 1_700_000_000_500 });
    server.say({ wirespeed: { status: { price: { state: "failing", since: 1_700_000_000.5, reason: "The exchange is closed." } } } });
    await pass();
    expect(feed.status.current).toEqual({ state: "failing", since: 1_700_000_000_500, reason: "The exchange is closed." });
    expect(feed.value).toBe(1);
    server.say({ wirespeed: { status: { price: { state: "live", since: 1_700_000_012 } } } });
    await pass();
    expect(feed.status.current).toEqual({ state: "connected", since: 1_700_000_012_000 });
  });

  test("a feed whose generator refuses its watchers is closed with the status and the detail", async () => {
    const feed = live.feed("price");
    feed.onValue(() => {});
    feed.status.subscribe(() => {});
    await pass();
    server.end("price", 2410, JSON.stringify({ message: "delisted", status: 410, detail: "delisted" }));
    await pass();
    expect(feed.status.current).toMatchObject({ state: "closed", error: { code: 2410, status: 410, detail: "delisted" } });
  });

  test("a feed that is over is closed, and says so", async () => {
    const feed = live.feed("price");
    feed.onValue(() => {});
    await pass();
    server.end("price", 2000, "complete");
    await pass();
    expect(feed.status.current).toMatchObject({ state: "closed", reason: "The feed is complete.", code: 2000 });
  });

  test("a feed from which the app unsubscribes the page is closed with an error, because it is not complete", async () => {
    const feed = live.feed("price");
    feed.status.subscribe(() => {});
    feed.onValue(() => {});
    await pass();
    server.end("price", 2000, "server unsubscribe");
    await pass();
    expect(feed.status.current).toMatchObject({ state: "closed", code: 2000, error: { message: "price: server unsubscribe" } });
  });

  test.each([
    ["by the page", () => live.close()],
    ["by the server", () => server.disconnect(3500, "banned")],
  ])("when the connection is closed for good %s, so are its feeds", async (_, close) => {
    const [before, after] = [live.feed("price"), live.feed("later")];
    before.onValue(() => {});
    await pass();
    close();
    await pass();
    after.onValue(() => {});
    await pass();
    expect([before, after].map(({ status }) => status.current.state)).toEqual(["closed", "closed"]);
    expect(before.status.current.reason).toBe(live.status.current.reason);
  });

  test("a refusal is in the status; if the page does not watch that, it is logged to the console, once", async () => {
    const console = vi.spyOn(globalThis.console, "error").mockReturnValue();
    server.subscribes = () => ({ error: { code: 103, message: "permission denied" } });
    const [seen, unseen] = [live.feed("seen"), live.feed("unseen")];
    seen.status.subscribe(() => {});
    seen.onValue(() => {});
    unseen.onValue(() => {});
    await pass();
    expect(seen.status.current).toMatchObject({ state: "closed", error: { code: 103, name: "WirespeedError" } });
    expect(console.mock.calls).toEqual([["unseen: permission denied. You are not allowed to do this."]]);
    vi.restoreAllMocks();
  });
});

test("a refusal for now is the reason of the status, until the server admits the page", async () => {
  const admits = server.subscribes;
  const message = JSON.stringify({ message: "Closed until 9.", status: 503, detail: { at: 9 } });
  server.subscribes = () => ({ error: { code: 503, message, temporary: true } });
  const feed = live.feed<number>("price");
  feed.onValue(() => {});
  await pass();
  expect(feed.status.current).toMatchObject({
    state: "connecting",
    reason: "price: Closed until 9; trying again.",
    error: { code: 503, status: 503, detail: { at: 9 } },
  });
  server.subscribes = admits;
  await pass(60_000);
  expect(feed.status.current).toEqual({ state: "connected", since: expect.any(Number) });
});

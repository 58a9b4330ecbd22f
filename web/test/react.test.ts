import { act, createElement, StrictMode, type ReactNode } from "react";
import { createRoot, hydrateRoot, type Root } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Live } from "../src/index.js";
import { useCall, useFeed, usePresence, useStatus, useStream, useTable } from "../src/react.js";
import { fakeTime, pass, Server } from "./server.js";

let server: Server;
let live: Live;
let place: HTMLElement;
let root: Root;
let restore: () => void;

beforeEach(async () => {
  Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true });
  restore = fakeTime();
  server = new Server();
  live = server.client();
  place = document.createElement("div");
  root = createRoot(place);
  await pass();
});

afterEach(() => {
  act(() => root.unmount());
  live.close();
  restore();
});

function Price({ path }: { path: string }): ReactNode {
  const { value, status } = useFeed<number>(live, path);
  return `${status.state} ${value ?? "-"} `;
}

function Count({ message }: { message: string }): ReactNode {
  const { values, isDone, error } = useStream<number>(live, "count", message);
  return `${message} ${values.join(",")} ${isDone} ${error ?? "-"}`;
}

function Rows(): ReactNode {
  const { rows, status } = useTable<number>(live, "rows");
  return `${[...rows].join(" ")} ${status.state}`;
}

function Room(): ReactNode {
  const { members, status } = usePresence(live, "room");
  return `${[...members.keys()].join(" ")} ${status.error?.code ?? status.state} ${useStatus(live).state}`;
}

function Ask({ path }: { path: string }): ReactNode {
  const { call, isPending, value, error } = useCall<number>(live, path);
  ask = call;
  return `${isPending} ${value ?? "-"} ${error ?? "-"}`;
}

let ask: (data?: unknown) => Promise<number | undefined>;

let renders = 0;

function Newest({ keep }: { keep?: number }): ReactNode {
  const { values, count } = useStream<number>(live, "count", "x", keep === undefined ? {} : { keep });
  renders += 1;
  return `${values.length} of ${count}: ${values[0]} to ${values.at(-1)}`;
}

/** Renders an element in strict mode, and returns its text. */
async function show(...nodes: ReactNode[]): Promise<string> {
  act(() => root.render(createElement(StrictMode, null, ...nodes)));
  await act(() => pass()); // effects have run by now
  return place.textContent ?? "";
}

async function publish(channel: string, values: unknown[]): Promise<string> {
  server.publish(channel, values);
  await act(() => pass());
  return place.textContent ?? "";
}

test("a component shows that the source of its feed fails, and that the feed is complete", async () => {
  await show(createElement(Price, { path: "price" }));
  expect(await publish("price", [1])).toBe("connected 1 ");
  server.say({ wirespeed: { status: { price: { state: "failing", since: 1_700_000_000 } } } });
  await act(() => pass());
  expect(place.textContent).toBe("failing 1 ");
  expect(await publish("price", [2])).toBe("failing 2 ");
  server.say({ wirespeed: { status: { price: { state: "live", since: 1_700_000_001 } } } });
  server.end("price", 2000, "complete");
  await act(() => pass());
  expect(place.textContent).toBe("closed 2 ");
});

test("errors in components have the status and detail of the app", async () => {
  const message = '{"message":"Conflict","status":409,"detail":{"field":"seat"}}';
  server.subscribes = () => ({ error: { code: 409, message } });
  const seen: unknown[] = [];
  const Refused = (): ReactNode => {
    seen.splice(0, 2, useFeed(live, "price").status.error, useStream(live, "count").error);
    return null;
  };
  await show(createElement(Refused));
  expect(seen).toEqual([
    expect.objectContaining({ message: "price: Conflict", code: 409, status: 409, detail: { field: "seat" } }),
    expect.objectContaining({ message: "count: Conflict", code: 409, status: 409, detail: { field: "seat" } }),
  ]);
});

test("components share one subscription, which ends with the last one", async () => {
  const prices = [1, 2, 3].map((key) => createElement(Price, { key, path: "price" }));
  expect(await show(...prices)).toBe("connected - ".repeat(3));
  expect(await publish("price", [1, 2])).toBe("connected 2 ".repeat(3));
  await show(...prices.slice(1));
  expect([server.subscribed, server.unsubscribed]).toEqual([["price"], []]);
  await show();
  expect(server.unsubscribed).toEqual(["price"]);
});

test("another path is another feed, without a value of the first", async () => {
  await show(createElement(Price, { path: "a" }));
  await publish("a", [1]);
  expect(await show(createElement(Price, { path: "b" }))).toBe("connected - ");
  expect(await publish("b", [2])).toBe("connected 2 ");
  expect(server.unsubscribed).toEqual(["a"]);
});

test("a component shows its run, and cancels it when it unmounts", async () => {
  await show(createElement(Count, { message: "x" }));
  const [channel = ""] = server.subscribed.slice(-1);
  expect(await publish(channel, [1, 2])).toBe("x 1,2 false -");
  await show();
  expect(server.unsubscribed).toContain(channel);
});

test("another message is another run, without a value of the first", async () => {
  await show(createElement(Count, { message: "x" }));
  await publish(server.subscribed.at(-1) ?? "", [1]);
  expect(await show(createElement(Count, { message: "y" }))).toBe("y  false -");
  const [channel = ""] = server.subscribed.slice(-1);
  await publish(channel, [2]);
  server.end(channel, 2000, "complete");
  await act(() => pass());
  expect(await show(createElement(Count, { message: "y" }))).toBe("y 2 true -");
});

test("a component has the newest values of a long run, and the number of all values", async () => {
  await show(createElement(Newest, { keep: 10 }));
  const [channel = ""] = server.subscribed.slice(-1);
  expect(await publish(channel, [1, 2, 3])).toBe("3 of 3: 1 to 3");
  for (let first = 4; first <= 40_000; first += 100) {
    server.publish(channel, Array.from({ length: 100 }, (_, index) => first + index));
  }
  await act(() => pass());
  expect(place.textContent).toBe("10 of 40003: 39994 to 40003");
});

test("a component keeps 1,000 values unless it says otherwise", async () => {
  await show(createElement(Newest));
  const values = Array.from({ length: 5_000 }, (_, index) => index);
  expect(await publish(server.subscribed.at(-1) ?? "", values)).toBe("1000 of 5000: 4000 to 4999");
});

test("a component is rendered once per paint, however many batches arrive", async () => {
  await show(createElement(Newest, { keep: 10 }));
  const [channel = ""] = server.subscribed.slice(-1);
  await publish(channel, [0]);
  renders = 0;
  for (let batch = 1; batch <= 100; batch += 1) {
    server.publish(channel, [batch]);
  }
  await act(() => pass());
  expect(place.textContent).toBe("10 of 101: 91 to 100");
  expect(renders).toBe(2); // strict mode renders twice each time
});

test("a table's component has all rows, and one that changes renders it again", async () => {
  expect(await show(createElement(Rows))).toBe(" connected");
  expect(await publish("rows", [{ reset: true }, { key: "a", value: 1 }, { key: "b", value: 2 }])).toBe("a,1 b,2 connected");
  expect(await publish("rows", [{ key: "a", removed: true }])).toBe("b,2 connected");
  await show();
  expect([server.subscribed, server.unsubscribed]).toEqual([["rows"], ["rows"]]);
});

test("a component shows who is present, and the connection's status; a refusal is in its own", async () => {
  server.answers = () => ({ presence: { presence: { a: { client: "a", user: "" } } } });
  expect(await show(createElement(Room))).toBe("a connected connected");
  server.member("room", "join", "b");
  await act(() => pass());
  expect(place.textContent).toBe("a b connected connected");
  await show();
  server.answers = () => ({ error: { code: 108, message: "not available" } });
  expect(await show(createElement(Room))).toBe(" 108 connected");
});

test("a component makes calls: the newest one counts, and a failure does not throw", async () => {
  await show(createElement(Ask, { path: "double" }));
  server.answers = ({ rpc }) => ({ rpc: { data: 2 * Number(rpc?.data) } });
  const first = ask(1);
  const second = ask(2);
  expect(await show(createElement(Ask, { path: "double" }))).toBe("false 4 -");
  expect(await Promise.all([first, second])).toEqual([2, 4]);
  server.answers = () => ({ error: { code: 400, message: "too large" } });
  const third = ask(3);
  expect(await show(createElement(Ask, { path: "double" }))).toContain("false 4 WirespeedError: double: too large");
  expect(await third).toBeUndefined();
  server.answers = () => ({ rpc: { data: 5 } });
  void ask(4); // answered after the component has another path
  expect(await show(createElement(Ask, { path: "other" }))).toBe("false - -");
});

test("an answer to a component that has unmounted meanwhile changes nothing", async () => {
  await show(createElement(Ask, { path: "double" }));
  const answered = ask(1);
  await show();
  expect(await answered).toBe(1);
});

function Declared({ symbol }: { symbol: string }): ReactNode {
  const { value } = useFeed<number>(live, "price/{symbol}", { symbol, unit: "EUR" }, { params: { days: 3 } });
  const { rows } = useTable<number>(live, "rows/{symbol}", { symbol });
  const { members } = usePresence(live, "room/{symbol}", { symbol });
  const { values } = useStream<number>(live, "count/{symbol}", { symbol }, "message", { keep: 5 });
  ask = useCall<number>(live, "double/{symbol}", { symbol, times: 2 }).call;
  return `${value ?? "-"} ${rows.size} ${members.size} ${values.length}`;
}

test("hooks take paths as they are declared; another parameter is another path, and an equal one is not", async () => {
  await show(createElement(Declared, { symbol: "A B" }));
  expect(server.subscribed.map((each) => each.replace(/#\d+/, "#"))).toEqual(expect.arrayContaining(
    ["price/A%20B?unit=EUR&days=3", "rows/A%20B", "room/A%20B", "count/A%20B#"],
  ));
  expect(await publish("price/A%20B?unit=EUR&days=3", [1])).toBe("1 0 0 0");
  const count = server.subscribed.length;
  await show(createElement(Declared, { symbol: "A B" }));
  expect(server.subscribed.length).toBe(count);
  expect(await show(createElement(Declared, { symbol: "C" }))).toBe("- 0 0 0");
  expect(server.subscribed).toContain("price/C?unit=EUR&days=3");
  void ask(5);
  await act(() => pass());
  expect(server.received.flatMap(({ rpc }) => rpc ?? [])).toEqual([{ method: "double/C?times=2", data: 5 }]);
});

function All(): ReactNode {
  const { value, status } = useFeed<number>(live, "price");
  const { rows } = useTable<number>(live, "rows");
  const { members } = usePresence(live, "price");
  return `${value ?? "-"} ${status.state} ${rows.size} ${members.size} ${useStatus(live).state}`;
}

test("a page that was rendered on a server is taken over as it is, and shows values then", async () => {
  server.answers = () => ({ presence: { presence: { a: { client: "a", user: "" } } } });
  live.feed("price").onValue(() => {});
  live.table("rows").onChange(() => {});
  live.presence("price").subscribe(() => {});
  await pass();
  server.publish("price", [1]);
  server.publish("rows", [{ key: "a", value: 1 }]);
  await pass();
  const tree = createElement(StrictMode, null, createElement(All));
  const page = document.createElement("div");
  page.innerHTML = renderToString(tree);
  expect(page.textContent).toBe("- connecting 0 0 connecting");
  const complaints = vi.spyOn(console, "error");
  const taken = await act(() => hydrateRoot(page, tree));
  await act(() => pass());
  expect([page.textContent, complaints.mock.calls]).toEqual(["1 connected 1 1 connected", []]);
  act(() => taken.unmount());
  vi.restoreAllMocks();
});

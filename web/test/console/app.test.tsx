import { render } from "preact";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { App } from "../../console/src/app.js";
import { answerWith, documentOf, overviewOf, pass, requests, rowOf, serve, socketOf, sockets } from "./place.js";

let place: HTMLElement;

beforeEach(() => {
  vi.useFakeTimers();
  location.hash = "";
  place = document.createElement("div");
  document.body.append(place);
});

afterEach(async () => {
  render(null, place);
  // Preact ends effects after the next paint.
  await pass();
  place.remove();
  location.hash = "";
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

async function open(hash = "#/"): Promise<void> {
  location.hash = hash;
  render(<App />, place);
  await pass();
}

async function go(hash: string): Promise<void> {
  location.hash = hash;
  dispatchEvent(new Event("hashchange"));
  await pass();
}

/** Returns the texts of a table's cells by row. */
function table(selector: string): string[][] {
  const rows = place.querySelectorAll<HTMLTableRowElement>(`${selector} tr`);
  return [...rows].map(({ cells }) => [...cells].map(({ textContent }) => textContent.trim()));
}

function said(): string {
  return place.querySelector("[role=status]")?.textContent ?? "";
}

test("definitions are shown with sums, and with the watchers and the producer of each process", async () => {
  serve(documentOf(["/price/{symbol}", "feed", "The price."]));
  await open();
  const row = rowOf("/price/{symbol}", { one: { watchers: 3, lost: 2 }, two: { watchers: 40 } }, { producers: { two: { running: 1 } } });
  socketOf("overview").send(overviewOf(1, [row], ["one", "two"]));
  await pass();
  expect(table("thead")[0]?.slice(-2)).toEqual(["pid 1", "pid 2"]);
  const [first] = table("tbody");
  expect(first?.[0]).toBe("feed/price/{symbol}The price.");
  expect(first).toContain("43");
  expect(first).toContain("2");
  expect(first?.slice(-2)).toEqual(["3", "●runs the producer, 40"]);
});

test("rows whose figures are the same are not touched", async () => {
  serve(documentOf(["/busy", "feed"], ["/idle", "feed"]));
  await open();
  const overview = (at: number) =>
    overviewOf(at, [rowOf("/busy", { one: { published: at * 10, watchers: 1 } }), rowOf("/idle", { one: { watchers: 1 } })]);
  for (const at of [1, 2, 3]) {
    socketOf("overview").send(overview(at));
    await pass();
  }
  const [busy, idle] = place.querySelectorAll("tbody tr");
  const touched = new Set<Node>();
  const observer = new MutationObserver((changes) => changes.forEach(({ target }) => touched.add(target)));
  observer.observe(place, { subtree: true, childList: true, characterData: true, attributes: true });
  const busier = overview(4);
  busier.definitions[0] = rowOf("/busy", { one: { published: 9000, watchers: 2 } });
  socketOf("overview").send(busier);
  await pass();
  observer.disconnect();
  const within = (row: Element | undefined) => [...touched].some((node) => row?.contains(node));
  expect([within(busy), within(idle)]).toEqual([true, false]);
});

test("of many definitions some are rendered, and a search finds the others", async () => {
  serve(documentOf(...Array.from({ length: 500 }, (_, index) => [`/d/${index}/x`, "feed"] as const)));
  await open();
  expect(table("tbody")).toHaveLength(100);
  const field = place.querySelector("input[type=search]") as HTMLInputElement;
  field.value = "/d/499/";
  field.dispatchEvent(new Event("input", { bubbles: true }));
  await vi.advanceTimersByTimeAsync(500);
  await pass();
  expect(table("tbody").map(([name]) => name)).toEqual(["feed/d/499/x"]);
  expect(said()).toBe("1 of 500 definitions");
});

test("a heading sorts by its column, large figures first, and says so", async () => {
  serve(documentOf(["/a", "feed"], ["/b", "feed"]));
  await open();
  socketOf("overview").send(overviewOf(1, [rowOf("/a", { one: { watchers: 1 } }), rowOf("/b", { one: { watchers: 9 } })]));
  await pass();
  const heading = [...place.querySelectorAll<HTMLElement>("thead th")].find(({ textContent }) => textContent.startsWith("Watchers"));
  heading?.querySelector("button")?.click();
  await pass();
  expect(table("tbody").map(([name]) => name)).toEqual(["feed/b", "feed/a"]);
  expect(heading?.getAttribute("aria-sort")).toBe("descending");
  heading?.querySelector("button")?.click();
  await pass();
  expect(table("tbody").map(([name]) => name)).toEqual(["feed/a", "feed/b"]);
});

test("another view gets the focus at its heading, and a title", async () => {
  serve(documentOf(["/price", "feed"]));
  await open();
  await go("#/definition/price");
  expect(document.activeElement?.tagName).toBe("H1");
  expect(document.activeElement?.textContent).toBe("/price");
  expect(document.title).toBe("/price · Wirespeed console");
});

test("while the server is away the last figures stay, and the page says that it reconnects", async () => {
  serve(documentOf(["/price", "feed"]));
  await open();
  socketOf("overview").send(overviewOf(1, [rowOf("/price", { one: { watchers: 8 } })]));
  await pass();
  socketOf("overview").end(1006);
  await pass();
  expect(said()).toBe("Reconnecting");
  expect(table("tbody")[0]).toContain("8");
});

test("without a document the figures are shown, and the page says why the types are missing", async () => {
  serve();
  answerWith(404);
  await open();
  socketOf("overview").send(overviewOf(1, [rowOf("/price", { one: {} })]));
  await pass();
  expect(place.querySelector(".notice")?.textContent).toContain("asyncapi.json answered with 404");
  expect(table("tbody")[0]?.[0]).toBe("feed/price");
});

const KEY = {
  at: 100,
  text: "/price/BTC",
  path: "/price/{symbol}",
  live: true,
  complete: false,
  position: { epoch: "e", offset: 7 },
  bytes: 20,
  entries: [
    { offset: 7, age: 0.5, size: 5, row: null, tags: {}, preview: "64012" },
    { offset: 6, age: 1.5, size: 5, row: null, tags: {}, preview: "64011" },
  ],
  watchers: [
    { process: "3482bfef2b7d19a8", client: "c1", user: "ada", surface: "websocket", lag: 2, waiting: 900, painted_age: 0.031 },
    { process: "3482bfef2b7d19a8", client: "c2", user: null, surface: "sse", lag: 0, waiting: 0, painted_age: null },
  ],
  watchers_total: 2,
  producer: { process: "two", state: "running", since: 40, lease: 7, restarts: 0 },
  health: { state: "live", since: null, reason: "" },
  errors: [{ at: 90, text: "ValueError: <b>no</b>" }],
};

test("a key is shown with its log, its watchers, its producer and its errors", async () => {
  serve(documentOf(["/price/{symbol}", "feed"]));
  await open("#/key/price/BTC");
  expect(socketOf("key").url.searchParams.get("text")).toBe("/price/BTC");
  socketOf("key").send(KEY);
  await pass();
  expect(table("[aria-labelledby=watchers] tbody")).toEqual([
    ["c1", "ada", "3482bfef", "websocket", "2", "900 B", "31 ms"],
    ["c2", "–", "3482bfef", "sse", "0", "0 B", "–"],
  ]);
  expect(table("[aria-labelledby=log] tbody")).toEqual([
    ["7", "500 ms", "5 B", "64012"],
    ["6", "1.5 s", "5 B", "64011"],
  ]);
  expect(place.textContent).toContain("7.0 s left");
  expect(place.querySelector(".errors")?.textContent).toContain("ValueError: <b>no</b>");
  expect(place.querySelector(".errors b")).toBeNull();
});

test("a view that is left no longer watches its feed", async () => {
  serve(documentOf(["/price/{symbol}", "feed"]));
  await open("#/key/price/BTC");
  await go("#/clients");
  expect(sockets.filter(({ readyState }) => readyState === 1).map(({ url }) => url.pathname)).toEqual([
    "/console/overview",
    "/console/clients",
  ]);
});

test("a log that is held stays as it is while the figures go on", async () => {
  serve(documentOf(["/price/{symbol}", "feed"]));
  await open("#/key/price/BTC");
  socketOf("key").send(KEY);
  await pass();
  const button = place.querySelector<HTMLButtonElement>("[aria-pressed]");
  button?.click();
  await pass();
  socketOf("key").send({ ...KEY, at: 101, bytes: 999, entries: [{ ...KEY.entries[0], offset: 8 }] });
  await pass();
  expect(table("[aria-labelledby=log] tbody").map(([offset]) => offset)).toEqual(["7", "6"]);
  expect(place.querySelector(".figures")?.textContent).toContain("999 B");
  button?.click();
  await pass();
  expect(table("[aria-labelledby=log] tbody").map(([offset]) => offset)).toEqual(["8"]);
});

const CLIENT = {
  at: 100, id: "c1", process: "one", user: "ada", session: null, surface: "multiplexed", transport: "websocket",
  lane: "uvicorn", path: "/live/websocket", address: "127.0.0.1", since: 40, subscriptions: 1, waiting: 12,
  identity: { user: "ada", session: "4f2a", expires_at: 160, info: { admin: true }, subscriptions: [] },
  channels: [{ channel: "price/BTC", kind: "feed", since: 50, lag: 0, waiting: 0 }],
}; // prettier-ignore

test("a client is disconnected only after a question, and only where the app allows it", async () => {
  serve(documentOf(["/price/{symbol}", "feed"]));
  await open("#/client/one/c1");
  socketOf("client").send(CLIENT);
  await pass();
  expect(place.querySelector(".danger")).toBeNull();
  socketOf("overview").send(overviewOf(1, []));
  await pass();
  place.querySelector<HTMLButtonElement>(".danger")?.click();
  await pass();
  expect(requests.filter(({ body }) => body !== null)).toEqual([]);
  place.querySelector<HTMLButtonElement>("dialog .danger")?.click();
  await pass();
  const [request] = requests.filter(({ body }) => body !== null);
  expect(request?.url).toMatch(/console\/disconnect$/);
  expect(JSON.parse(request?.body ?? "")).toEqual({ process: "one", id: "c1" });
  expect(said()).toBe("Disconnected");
  socketOf("client").send({ at: 101, gone: true });
  await pass();
  expect(place.textContent).toContain("no longer connected");
});

test("the view of a process names what is wrong", async () => {
  serve();
  await open("#/processes");
  const overview = overviewOf(1, [], ["one", "two"]);
  const broker = { state: "down", seconds: 3, problem: "refused at <b>", waiting: 812 };
  Object.assign(overview.processes[1] ?? {}, { broker, answered: false });
  socketOf("overview").send(overview);
  await pass();
  const [own, other] = [...place.querySelectorAll(".process")].map(({ textContent }) => textContent);
  expect(own).toContain("serves this page");
  expect(other).toContain("does not answer");
  expect(other).toContain("down for 3 s, 812 B waiting");
  expect(other).toContain("refused at <b>");
});

import { beforeEach, expect, test } from "vitest";
import type { Live } from "../src/index.js";
import { fakeTime, pass, Server } from "./server.js";

let server: Server;
let live: Live;

const result = { recoverable: true, positioned: false, epoch: "e", offset: 0 };
let data: object | undefined = { wirespeed: { appends: true } };

beforeEach(() => {
  const restore = fakeTime();
  server = new Server();
  server.subscribes = (_, isBack) => ({ subscribe: { ...result, data, was_recovering: isBack, recovered: isBack } });
  data = { wirespeed: { appends: true } };
  live = server.client();
  return () => {
    live.close();
    restore();
  };
});

test("a page sees the whole text, whatever part of it arrives", async () => {
  const element = document.createElement("p");
  const feed = live.feed<string>("answer");
  feed.bind(element);
  const every: string[] = [];
  live.feed<string>("answer", { every: true }).onValue((value) => every.push(value));
  await pass();
  server.publish("answer", ["Once "]);
  server.publish("answer", [{ append: "upon " }, { append: "a " }]);
  await pass();
  expect([feed.value, element.textContent]).toEqual(["Once upon a ", "Once upon a "]);
  server.publish("answer", [{ append: "time" }]);
  server.publish("answer", ["The end."]);
  server.publish("answer", [{ append: " Really." }]);
  await pass();
  expect(feed.value).toBe("The end. Really.");
  expect(every).toEqual(["Once ", "Once upon ", "Once upon a ", "Once upon a time", "The end.", "The end. Really."]);
});

test("a text continues after the connection was lost", async () => {
  const feed = live.feed<string>("answer");
  feed.onValue(() => {});
  await pass();
  server.publish("answer", ["a"]);
  await pass();
  server.cut();
  await pass(100);
  server.publish("answer", [{ append: "b" }]);
  await pass();
  expect(feed.value).toBe("ab");
});

test("the text of a row grows, and rows that a page holds do not change", async () => {
  const table = live.table<{ id: number; text: string }>("chat");
  const changes: unknown[] = [];
  table.onChange((changed) => changes.push([...changed]));
  await pass();
  server.publish("chat", [{ key: 1, value: { id: 1, text: "a" } }]);
  await pass();
  const before = table.rows.get("1");
  server.publish("chat", [{ key: 1, append: { text: "b" } }, { key: 1, append: { text: "c" } }]);
  await pass();
  expect([before, table.rows.get("1")]).toEqual([{ id: 1, text: "a" }, { id: 1, text: "abc" }]);
  expect(changes.at(-1)).toEqual([["1", { id: 1, text: "abc" }]]);
  server.publish("chat", [{ key: 1, removed: true }, { reset: true }, { key: 1, value: { id: 1, text: "x" } }]);
  server.publish("chat", [{ key: 1, append: { text: "y" } }]);
  await pass();
  expect(table.rows.get("1")).toEqual({ id: 1, text: "xy" });
});

test("values that look like parts of a text are values where nothing grows", async () => {
  data = undefined;
  const feed = live.feed<unknown>("any");
  feed.onValue(() => {});
  await pass();
  server.publish("any", ["a", { append: "b" }]);
  await pass();
  expect(feed.value).toEqual({ append: "b" });
});

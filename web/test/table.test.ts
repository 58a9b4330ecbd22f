import { beforeEach, expect, test } from "vitest";
import type { Live } from "../src/index.js";
import { fakeTime, pass, Server } from "./server.js";

let server: Server;
let live: Live;

beforeEach(async () => {
  const restore = fakeTime();
  server = new Server();
  live = server.client();
  await pass();
  return () => {
    live.close();
    restore();
  };
});

const ROWS = [{ reset: true }, { key: "a", value: 1 }, { key: "b", value: 2 }];

test("rows arrive, change and disappear, reported once per paint", async () => {
  const table = live.table<number>("rows");
  const changes: [string, number | undefined][][] = [];
  table.onChange((changed) => void changes.push([...changed]));
  await pass();
  server.publish("rows", ROWS);
  server.publish("rows", [{ key: "a", value: 3 }]);
  await pass();
  server.publish("rows", [{ key: "b", removed: true }, { key: 7, value: 7 }]);
  await pass();
  server.publish("rows", [{ reset: true }, { key: "c", value: 4 }]);
  await pass();
  expect(changes.filter((changed) => changed.length > 0)).toEqual([
    [["a", 3], ["b", 2]],
    [["b", undefined], ["7", 7]],
    [["a", undefined], ["7", undefined], ["c", 4]],
  ]);
  expect([...table.rows]).toEqual([["c", 4]]);
});

test("a later listener gets all rows first", async () => {
  live.table<number>("rows").onChange(() => {});
  await pass();
  server.publish("rows", ROWS);
  await pass();
  const given: [string, number | undefined][][] = [];
  live.table<number>("rows").onChange((changed) => void given.push([...changed]));
  expect(given).toEqual([[["a", 1], ["b", 2]]]);
});

test("a table has all rows although its subscription began before it, for others", async () => {
  const lost: (number | null)[] = [];
  live.feed("rows", { every: true }).onLoss((count) => void lost.push(count));
  await pass();
  server.publish("rows", ROWS);
  await pass();
  for (const visit of [1, 2]) {
    const table = live.table<number>("rows");
    const stop = table.onChange(() => {});
    await pass();
    server.publish("rows", [{ key: "a", value: visit }, { key: "b", value: 2 }]); // the server sends all rows at first
    await pass();
    expect([...table.rows]).toEqual([["a", visit], ["b", 2]]);
    stop();
    await pass();
  }
  expect(server.subscribed).toEqual(["rows", "rows", "rows"]);
  expect(lost).toEqual([null, null]); // they come again for the others
});

test("the arguments of a listener do not change later", async () => {
  live.table<number>("rows").onChange(() => {});
  await pass();
  server.publish("rows", ROWS);
  await pass();
  let first: ReadonlyMap<string, number | undefined> | undefined;
  live.table<number>("rows").onChange((changed) => void (first ??= changed));
  server.publish("rows", [{ key: "z", value: 9 }]);
  await pass();
  expect([...(first ?? [])]).toEqual([["a", 1], ["b", 2]]);
});

test("a listener that returns in the same turn finds the rows", async () => {
  const table = live.table<number>("rows");
  const stop = table.onChange(() => {});
  await pass();
  server.publish("rows", ROWS);
  await pass();
  stop();
  const given: (readonly [string, number | undefined])[] = [];
  table.onChange((changed) => void given.push(...changed));
  server.publish("rows", [{ key: "a", value: 5 }]);
  await pass();
  expect(given).toEqual([["a", 1], ["b", 2], ["a", 5]]);
  expect([...table.rows]).toEqual([["a", 5], ["b", 2]]);
  expect(server.subscribed).toEqual(["rows"]);
});

test("a table without listeners keeps nothing", async () => {
  const table = live.table<number>("rows");
  const stop = table.onChange(() => {});
  await pass();
  server.publish("rows", ROWS);
  await pass();
  stop();
  await pass();
  expect([table.rows.size, server.unsubscribed]).toEqual([0, ["rows"]]);
});

test("rows from before a gap are void", async () => {
  const table = live.table<number>("rows");
  table.onChange(() => {});
  await pass();
  server.publish("rows", ROWS);
  await pass();
  server.subscribes = (_, isBack) => ({
    subscribe: { recoverable: true, epoch: "f", offset: 9, was_recovering: isBack, recovered: false },
  });
  server.cut();
  await pass(2000);
  expect(table.rows.size).toBe(0);
  server.publish("rows", [{ key: "c", value: 4 }]);
  await pass();
  expect([...table.rows]).toEqual([["c", 4]]);
});

test("those who subscribe get all rows at once, and another map after each change", async () => {
  const table = live.table<number>("rows");
  const seen: ReadonlyMap<string, number>[] = [];
  table.subscribe((rows) => void seen.push(rows));
  await pass();
  server.publish("rows", ROWS);
  await pass();
  table.subscribe((rows) => void seen.push(rows));
  server.publish("rows", [{ key: "a", value: 3 }]);
  await pass();
  const before = [["a", 1], ["b", 2]];
  const after = [["a", 3], ["b", 2]];
  expect(seen.filter(({ size }) => size > 0).map((rows) => [...rows])).toEqual([before, before, after, after]);
  expect(table.current).toBe(seen.at(-1));
});

import { beforeEach, expect, test } from "vitest";
import type { HistoryOptions, Live, Topic } from "../src/index.js";
import { fakeTime, pass, Server } from "./server.js";

let server: Server;
let live: Live;
let chat: Topic<string>;

beforeEach(async () => {
  const restore = fakeTime();
  server = new Server();
  live = server.client();
  chat = live.topic<string>("/chat", { every: true, params: { room: "hall" } });
  await pass();
  return () => {
    live.close();
    restore();
  };
});

test("a topic's values, messages, history and presence are those of one channel", async () => {
  const heard: string[] = [];
  chat.onValue((value) => void heard.push(value));
  const presence = { a: { client: "a", user: "u" } };
  const history = { publications: [{ data: "old", offset: 3, info: presence.a }], offset: 9, epoch: "e" };
  server.answers = (command) => (command.publish ? { publish: {} } : command.history ? { history } : { presence: { presence } });
  chat.presence.subscribe(() => {});
  await pass();
  server.publish("chat?room=hall", ["x", "y"]);
  const asked = Promise.all([chat.publish("hi"), chat.history({ limit: 1, since: { offset: 4, epoch: "e" }, reverse: true })]);
  await pass();
  expect(heard).toEqual(["x", "y"]);
  expect([...chat.presence.current.keys()]).toEqual(["a"]);
  expect((await asked)[1]).toEqual({
    entries: [{ value: "old", offset: 3, sender: { client: "a", user: "u" } }],
    position: { offset: 9, epoch: "e" },
  });
  const sent = server.received.flatMap(({ publish, history: asks }) => publish ?? asks ?? []);
  expect(sent).toEqual([
    { channel: "chat?room=hall", data: "hi" },
    { channel: "chat?room=hall", limit: 1, since: { offset: 4, epoch: "e" }, reverse: true },
  ]);
  expect(server.subscribed).toEqual(["chat?room=hall"]);
});

test("history without options asks for all that the server returns, and a refusal is thrown", async () => {
  server.answers = () => ({ error: { code: 108, message: "not available" } });
  const refused = chat.history().catch((error: unknown) => error);
  await pass();
  expect(await refused).toMatchObject({ name: "WirespeedError", code: 108 });
  expect(server.received.at(-1)?.history).toEqual({ channel: "chat?room=hall", limit: -1 });
  chat.history({ limit: undefined } as unknown as HistoryOptions).catch(() => {});
  await pass();
  expect(server.received.at(-1)?.history).toEqual({ channel: "chat?room=hall", limit: -1 });
});

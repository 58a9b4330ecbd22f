import { expect, test } from "vitest";
import { Events, Lines, type ServerEvent } from "../../../console/src/try/lines.js";

/** Returns the events of pieces. */
function eventsOf(...pieces: string[]): ServerEvent[] {
  const [lines, events] = [new Lines(), new Events()];
  return pieces.flatMap((piece) => lines.of(piece)).flatMap((line) => events.of(line) ?? []);
}

test("lines are whole however their pieces are cut", () => {
  const text = "a\r\nb\rc\n\nd";
  for (let size = 1; size < 6; size += 1) {
    const lines = new Lines();
    const found: string[] = [];
    for (let at = 0; at < text.length; at += size) {
      found.push(...lines.of(text.slice(at, at + size)));
    }
    expect([found, lines.rest], String(size)).toEqual([["a", "b", "c", ""], "d"]);
  }
});

test("events have a type, an id that stays, and all lines of their data", () => {
  expect(
    eventsOf(":\n\nid: e:1\ndata: one\ndata:  two\n\nevent: lost\nda", "ta: 5\n\nevent: nothing\n\ndata\n\n"),
  ).toEqual([
    { type: "message", data: "one\n two", id: "e:1" },
    { type: "lost", data: "5", id: "e:1" },
    { type: "message", data: "", id: "e:1" },
  ]);
});

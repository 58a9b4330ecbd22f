import { expect, test } from "vitest";
import {
  Frames,
  matching,
  MOST_CHARACTERS,
  MOST_FRAMES,
  readable,
  utf8Length,
} from "../../../console/src/try/frames.js";

test("the newest frames are kept, and the others are counted", () => {
  const frames = new Frames();
  for (let number = 0; number < MOST_FRAMES + 500; number += 1) {
    frames.add("in", String(number), 0);
  }
  expect(frames.list().map(({ text }) => text)).toEqual(
    Array.from({ length: MOST_FRAMES }, (_, index) => String(index + 500)),
  );
  expect(frames).toMatchObject({ length: MOST_FRAMES, leftOut: 500, received: MOST_FRAMES + 500 });
});

test("large frames make room for each other, and one is kept in any case", () => {
  const frames = new Frames();
  for (let number = 0; number < 50; number += 1) {
    frames.add("in", "x".repeat(100_000), 0);
  }
  const kept = frames.list().reduce((sum, { text }) => sum + text.length, 0);
  expect(kept).toBeLessThanOrEqual(MOST_CHARACTERS);
  expect(frames.length + frames.leftOut).toBe(50);
  expect(frames.receivedBytes).toBe(5_000_000);
});

test("of a very large frame, the beginning and the size are kept", () => {
  const frame = new Frames().add("in", "é".repeat(3_000_000), 0);
  expect(frame).toMatchObject({ size: 6_000_000, isCut: true });
  expect(frame.text.length).toBeLessThan(MOST_CHARACTERS);
});

test("only what the server has sent counts as received", () => {
  const frames = new Frames();
  frames.add("state", "open", 0);
  frames.add("out", "12", 0);
  frames.add("in", new Uint8Array([0, 255]), 0);
  expect(frames).toMatchObject({ received: 1, receivedBytes: 2, sent: 1 });
  expect(frames.list().map(({ text }) => text)).toEqual(["open", "12", "00 ff"]);
});

test("a filter finds texts and notes, in any case of letters", () => {
  const frames = new Frames();
  frames.add("in", '{"Symbol":"BTC"}', 0);
  frames.add("in", "1", 0, { note: "offset 7" });
  expect(["btc", "OFFSET", "x", ""].map((each) => matching(frames.list(), each).length)).toEqual([1, 1, 0, 2]);
});

test("frames can be forgotten, with their counts", () => {
  const frames = new Frames();
  for (let number = 0; number < MOST_FRAMES + 3; number += 1) {
    frames.add("in", "old", 0);
  }
  frames.clear();
  frames.add("out", "new", 0);
  expect(frames.list().map(({ text }) => text)).toEqual(["new"]);
  expect([
    frames.received,
    frames.receivedBytes,
    frames.leftOut,
    frames.newest("in"),
    frames.newest("out")?.text,
  ]).toEqual([0, 0, 0, undefined, "new"]);
});

test("sizes are those of UTF-8", () => {
  for (const text of ["", "abc", "äß", "€", "😀", "a\u0000"]) {
    expect(utf8Length(text), text).toBe(new TextEncoder().encode(text).length);
  }
});

test("JSON is written over several lines, and everything else as it came", () => {
  expect(readable({ text: '{"a":[1]}', isCut: false })).toBe('{\n  "a": [\n    1\n  ]\n}');
  expect(readable({ text: "{half", isCut: false })).toBe("{half");
  expect(readable({ text: '{"a":1}', isCut: true })).toBe('{"a":1}');
});

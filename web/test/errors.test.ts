import { expect, test } from "vitest";
import { errorAt, explained, WirespeedError } from "../src/errors.js";

test("an error says where it happened, what happened, and what to do", () => {
  const error = errorAt("price/BTC", { code: 102, message: "unknown channel" });
  expect(error).toBeInstanceOf(WirespeedError);
  expect([error.name, error.code]).toEqual(["WirespeedError", 102]);
  expect(error.message).toBe(
    "price/BTC: unknown channel. The server has no feed, topic, stream or call at this path.",
  );
});

test("a refusal of the app has its status and its detail", () => {
  const detail = [{ loc: ["body", "seat"], msg: "It is taken." }];
  const error = errorAt("book", { code: 107, message: JSON.stringify({ message: "seat: It is taken.", status: 422, detail }) });
  expect([error.message, error.code, error.status, error.detail]).toEqual(["book: seat: It is taken.", 107, 422, detail]);
});

test("a call's own 404 is not an unknown path", () => {
  const error = errorAt("order", { code: 102, message: '{"message":"No such order.","status":404,"detail":"No such order."}' });
  expect([error.message, error.status, error.detail]).toEqual(["order: No such order.", 404, "No such order."]);
});

test.each(["{", "{}}", "plain", "", "[1]", '"text"', '{"status":404'])("a reason that is not ours remains a text: %s", (reason) => {
  expect(explained(reason)).toEqual({ message: reason });
});

test("an error of another kind has the path, too", () => {
  expect(errorAt("count", undefined).message).toBe("count: the request failed");
  expect(errorAt("count", { code: 107, message: "days: too many" }).message).toBe("count: days: too many");
});

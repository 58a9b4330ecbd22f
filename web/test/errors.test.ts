import { expect, test } from "vitest";
import { errorAt, WirespeedError } from "../src/errors.js";

test("an error says where it happened, what happened, and what to do", () => {
  const error = errorAt("price/BTC", { code: 102, message: "unknown channel" });
  expect(error).toBeInstanceOf(WirespeedError);
  expect([error.name, error.code]).toEqual(["WirespeedError", 102]);
  expect(error.message).toBe(
    "price/BTC: unknown channel. The server has no feed, topic, stream or call at this path.",
  );
});

test("an error of another kind has the path, too", () => {
  expect(errorAt("count", undefined).message).toBe("count: the request failed");
  expect(errorAt("count", { code: 107, message: "days: too many" }).message).toBe("count: days: too many");
});

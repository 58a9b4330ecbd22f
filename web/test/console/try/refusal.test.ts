import { expect, test } from "vitest";
import { errorFrame, refusalOfBody, refusalOfCode } from "../../../console/src/try/refusal.js";

const DETAIL = [{ loc: ["body", "seat"], msg: "It is taken.", type: "value_error" }];
const INPUTS = [{ at: ["body", "seat"], message: "It is taken." }];

test("FastAPI's list of errors names its inputs on every surface", () => {
  const body = JSON.stringify({ detail: DETAIL });
  const error = JSON.stringify({ error: { code: 422, message: "seat: It is taken.", detail: DETAIL } });
  const reason = JSON.stringify({ message: "seat: It is taken.", status: 422, detail: DETAIL });
  expect(refusalOfBody(422, "Unprocessable Content", body)).toEqual({
    status: 422,
    message: "An input was refused.",
    inputs: INPUTS,
  });
  expect(errorFrame(JSON.parse(error))).toEqual({ status: 422, message: "seat: It is taken.", inputs: INPUTS });
  expect(refusalOfCode(107, reason)).toEqual({ status: 422, message: "seat: It is taken.", inputs: INPUTS });
});

test("a detail that is a text, or any JSON, is the message", () => {
  expect(refusalOfBody(409, "Conflict", '{"detail":"Too late."}').message).toBe("Too late.");
  expect(refusalOfBody(409, "Conflict", '{"detail":{"by":"ada"}}').message).toBe('{"by":"ada"}');
  expect(refusalOfBody(502, "Bad Gateway", "<h1>nginx</h1>").message).toBe("<h1>nginx</h1>");
  expect(refusalOfBody(503, "Service Unavailable", "").message).toBe("Service Unavailable");
  expect(refusalOfCode(102, "not found")).toEqual({ status: 102, message: "not found", inputs: [] });
  expect(refusalOfCode(100, "{not JSON").message).toBe("{not JSON");
});

test("a value that looks a little like an error is a value", () => {
  for (const value of [
    { error: "text" },
    { error: { code: "E1", message: "m" } },
    { error: { code: 1, message: "m" }, more: 1 },
    [],
    null,
    "error",
  ]) {
    expect(errorFrame(value)).toBeUndefined();
  }
});

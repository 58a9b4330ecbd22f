import { expect, test } from "vitest";
import { javascript, python, pythonText, shell } from "../../../console/src/try/quote.js";
import { NO_OPTIONS, type Request } from "../../../console/src/try/request.js";
import { LANGUAGES, leftOut, snippet } from "../../../console/src/try/snippets.js";
import { definition } from "./examples.js";

const base = {
  root: "http://localhost:8000",
  live: "http://localhost:8000/live",
  path: "/each",
  query: "",
  carrier: "none",
  message: undefined,
  options: NO_OPTIONS,
  since: undefined,
} as const;

function request(more: Partial<Request>): Request {
  return { ...base, definition: definition({}), surface: "websocket", ...more };
}

test("hostile texts stay one word of a shell", () => {
  expect(shell('it\'s $(rm -rf ~) `x` "!" \\ \n;')).toBe("'it'\\''s $(rm -rf ~) `x` \"!\" \\ \n;'");
  expect([shell("a-b/c.d"), shell(""), shell("a\0b"), shell("-x y")]).toEqual(["a-b/c.d", "''", "ab", "'-x y'"]);
});

test("a literal of JavaScript neither ends a script nor a line", () => {
  const literal = javascript("</script><!-- \u2028");
  expect(literal).not.toMatch(/[<\u2028]/);
  expect(JSON.parse(literal)).toBe("</script><!-- \u2028");
});

test("a literal of Python has Python's words and no character that turns text around", () => {
  expect(python({ a: [true, false, null, 1.5, 'x"\\\n'], b: new Uint8Array([0, 255]) })).toBe(
    '{"a": [True, False, None, 1.5, "x\\"\\\\\\n"], "b": bytes.fromhex("00ff")}',
  );
  expect(pythonText("\u202e\u007f")).toBe('"\\u202e\\u007f"');
});

test("curl takes the surface, or one over HTTP in its place", () => {
  const feed = definition({ surfaces: ["websocket", "multiplexed", "get", "sse"] });
  expect(snippet("curl", request({ definition: feed })).code).toBe(
    "curl --no-buffer http://localhost:8000/each \\\n  --header 'Accept: text/event-stream'",
  );
  expect(snippet("curl", request({ definition: feed, surface: "get" })).code).toBe("curl http://localhost:8000/each");
  expect(leftOut("curl", request({ definition: feed }))).toMatch(/over HTTP/);
  const duplex = definition({ kind: "stream", intake: "all", surfaces: ["websocket", "multiplexed"] });
  expect(snippet("curl", request({ definition: duplex })).isCode).toBe(false);
});

test("a token is passed wherever it can be", () => {
  const options = { ...NO_OPTIONS, token: " s'e\"c " };
  const codes = Object.fromEntries(
    LANGUAGES.map(([language]) => [language, snippet(language, request({ options })).code]),
  );
  expect(codes["curl"]).toContain("'Authorization: Bearer s'\\''e\"c'");
  expect(codes["websockets"]).toContain('{"Authorization": "Bearer s\'e\\"c"}');
  expect(codes["javascript"]).toContain('connect({ token: "s\'e\\"c" })');
  expect(codes["python"]).toContain('token="s\'e\\"c"');
});

test("a prefix of the app is part of every address", () => {
  const under = request({ root: "https://a.example/api", live: "https://a.example/api/live" });
  expect(snippet("curl", under).code).toContain("https://a.example/api/each");
  expect(snippet("websockets", under).code).toContain("wss://a.example/api/each");
  expect(snippet("javascript", under).code).toContain('"https://a.example/api/live/wirespeed.js"');
  expect(snippet("python", under).code).toContain('"https://a.example/api/live/websocket"');
});

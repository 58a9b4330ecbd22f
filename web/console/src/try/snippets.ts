import { javascript, json, python, pythonText, shell } from "./quote.js";
import { bodyOf, channelOf, isWatched, type Request, socketUrlOf, startsWithMessage, urlOf } from "./request.js";

/** Languages of snippets. */
export type Language = "curl" | "websockets" | "javascript" | "python";

/** Names of the languages for people. */
export const LANGUAGES: readonly (readonly [language: Language, name: string])[] = [
  ["curl", "curl"],
  ["websockets", "websockets"],
  ["javascript", "JavaScript"],
  ["python", "Python"],
];

/** Code that makes a request, or the reason why a language cannot. */
export interface Snippet {
  readonly code: string;
  /** True if it is a program; otherwise a sentence. */
  readonly isCode: boolean;
}

/** Returns the same request in a language. */
export function snippet(language: Language, request: Request): Snippet {
  const code = WRITERS[language](request);
  return typeof code === "string" ? { code, isCode: true } : { code: code.reason, isCode: false };
}

type Writer = (request: Request) => string | { readonly reason: string };

/** A topic's message is sent only if one was entered. */
function publishes({ definition, message }: Request): boolean {
  return definition.kind === "topic" && definition.message !== null && message !== undefined && message !== "";
}

const curl: Writer = (request) => {
  const { surfaces } = request.definition;
  const watched = isWatched(request.definition);
  const other =
    surfaces.includes("sse") && watched
      ? "sse"
      : surfaces.includes("get")
        ? "get"
        : surfaces.includes("post")
          ? "post"
          : undefined;
  const surface = ["get", "post", "sse"].includes(request.surface) ? request.surface : other;
  if (surface === undefined) {
    return { reason: "This definition cannot be reached over HTTP, so there is no command for curl." };
  }
  const isEvents = surface === "sse";
  const asked = { ...request, surface, options: { ...request.options, positions: false } };
  const body = watched ? undefined : bodyOf(asked);
  const { token } = request.options;
  const parts = [
    `curl ${isEvents || request.definition.kind === "stream" ? "--no-buffer " : ""}${shell(urlOf(asked))}`,
    !watched && body === undefined && "--request POST",
    isEvents && "--header 'Accept: text/event-stream'",
    token.trim() !== "" && `--header ${shell(`Authorization: Bearer ${token.trim()}`)}`,
    body !== undefined && "--header 'Content-Type: application/json'",
    body !== undefined && `--data-raw ${shell(json(request.message))}`,
    request.definition.encoding === "bytes" && "--output -",
  ].filter((each) => each !== false);
  return parts.join(" \\\n  ");
};

/** Sync code over the raw WebSocket, for the package `websockets`. */
const websockets: Writer = (request) => {
  if (!request.definition.surfaces.includes("websocket")) {
    return { reason: "This definition has no WebSocket of its own." };
  }
  const token = request.options.token.trim();
  const headers = token && `, additional_headers={"Authorization": ${pythonText(`Bearer ${token}`)}}`;
  const sends =
    (startsWithMessage(request.definition) || publishes(request) || request.definition.intake === "all") &&
    request.message !== undefined;
  const isCall = request.definition.kind === "call";
  const isJson = request.carrier === "json";
  const sent = isJson ? `json.dumps(${python(request.message, "    ")})` : python(request.message);
  return lines(
    isJson && sends && "import json\n",
    "from websockets.sync.client import connect\n",
    `with connect(${pythonText(socketUrlOf({ ...request, surface: "websocket" }))}${headers}) as socket:`,
    sends && `    socket.send(${sent})`,
    isCall ? "    print(socket.recv())" : "    for message in socket:\n        print(message)",
  );
};

/** A module for a page, over the browser client. */
const browser: Writer = (request) => {
  const { definition, options, live } = request;
  if (definition.encoding === "bytes" || request.carrier === "bytes") {
    return { reason: "The browser client speaks JSON, which cannot carry bytes. Use a WebSocket with `binaryType`." };
  }
  const token = options.token.trim();
  const to = token ? `connect({ token: ${javascript(token)} })` : "connect()";
  const path = javascript(channelOf({ ...request, options: { ...options, maxRate: "", append: false } }));
  const rate =
    options.maxRate.trim() !== "" && Number.isFinite(Number(options.maxRate))
      ? `, { maxRate: ${Number(options.maxRate)} }`
      : "";
  const message = javascript(request.message ?? null, "  ");
  const hasMessage = request.message !== undefined;
  return lines(
    `import { connect } from ${javascript(`${live}/wirespeed.js`)};\n`,
    `const live = ${to};`,
    ...bodyOfBrowser(),
  );

  function bodyOfBrowser(): string[] {
    switch (definition.kind) {
      case "call":
        return [
          hasMessage ? `console.log(await live.call(${path}, ${message}));` : `console.log(await live.call(${path}));`,
        ];
      case "stream": {
        if (definition.intake !== "all") {
          return [
            `for await (const value of live.stream(${path}${hasMessage ? `, ${message}` : ""})) {`,
            "  console.log(value);",
            "}",
          ];
        }
        const sending = hasMessage
          ? [
              `const values = stream[Symbol.asyncIterator]();`,
              `await stream.send(${message});`,
              "for (let next = await values.next(); !next.done; next = await values.next()) {",
              "  console.log(next.value);",
              "}",
            ]
          : ["for await (const value of stream) {", "  console.log(value);", "}"];
        return [`const stream = live.stream(${path});`, ...sending];
      }
      default: {
        const watch = definition.by
          ? `live.table(${path}${rate}).subscribe((rows) => console.log([...rows.values()]));`
          : `live.feed(${path}${rate}).subscribe((value) => console.log(value));`;
        return [watch, ...(publishes(request) ? [`await live.publish(${path}, ${message});`] : [])];
      }
    }
  }
};

/** An async program over the Python client. */
const client: Writer = (request) => {
  const { definition, options, root, live, since } = request;
  if (
    request.carrier === "bytes" &&
    request.message !== undefined &&
    definition.kind === "stream" &&
    definition.intake === "all"
  ) {
    return { reason: 'See "websockets": a duplex stream of bytes needs a connection of its own.' };
  }
  const url = live === `${root}/live` && !/^https?:\/\/[^/]+\/./.test(root) ? root : `${live}/websocket`;
  const token = options.token.trim();
  const withToken = token ? `, token=${pythonText(token)}` : "";
  const path = pythonText(`/${channelOf({ ...request, options: { ...options, append: false } })}`);
  const hasMessage = request.message !== undefined;
  const literal = python(request.message, "    ");
  const isLong = literal.includes("\n");
  const message = isLong ? "message" : literal;
  const type = { json: "", text: ", str", bytes: ", bytes" }[definition.encoding];
  const watch = (more: string): string[] => [
    `    async for value in watch(${pythonText(url)}, ${path}${type}${more}${withToken}):`,
    "        print(value)",
  ];
  const connected = (...inside: string[]): string[] => [
    `    async with connect(${pythonText(url)}${withToken}) as live:`,
    ...inside.map((each) => `        ${each}`),
  ];
  const body = ((): { readonly names: string; readonly code: string[] } => {
    switch (definition.kind) {
      case "call":
        return {
          names: "connect",
          code: connected(
            `print(await live.call(${path}${hasMessage ? `, ${message}` : type ? ", None" : ""}${type}))`,
          ),
        };
      case "stream":
        if (definition.intake === "all" && hasMessage) {
          return {
            names: "watch",
            code: [
              "    async def messages() -> AsyncIterator[Any]:",
              `        yield ${message}`,
              "",
              ...watch(", messages=messages()"),
            ],
          };
        }
        return { names: "watch", code: watch(hasMessage ? `, message=${message}` : "") };
      default:
        if (since !== undefined) {
          const from = `since=Position(${pythonText(since.epoch)}, ${since.offset})`;
          return {
            names: "connect",
            code: connected(`async for each in live.publications(${path}${type}, ${from}):`, "    print(each.value)"),
          };
        }
        return publishes(request)
          ? {
              names: "connect",
              code: connected(
                `await live.publish(${path}, ${message})`,
                `async for value in live.watch(${path}${type}):`,
                "    print(value)",
              ),
            }
          : { names: "watch", code: watch("") };
    }
  })();
  const isDuplex = body.code[0]!.includes("def messages");
  return lines(
    "import asyncio",
    isDuplex && "from collections.abc import AsyncIterator\nfrom typing import Any",
    `\n${since === undefined ? "" : "from wirespeed import Position\n"}from wirespeed.client import ${body.names}\n\n`,
    "async def main() -> None:",
    isLong && body.code.some((line) => line.includes("message")) && `    message = ${literal}`,
    ...body.code,
    "\n",
    "asyncio.run(main())",
  );
};

const WRITERS: Readonly<Record<Language, Writer>> = { curl, websockets, javascript: browser, python: client };

function lines(...given: readonly (string | false | undefined)[]): string {
  return `${given.filter((each) => each !== false && each !== undefined).join("\n")}\n`;
}

/** Returns what a snippet does not repeat of a request; empty if it repeats everything. */
export function leftOut(language: Language, request: Request): string {
  const { since, surface } = request;
  const isLost = since !== undefined && language === "javascript";
  const hasOthers = language === "curl" && (surface === "websocket" || surface === "multiplexed");
  return [
    isLost && "This client resumes by itself; a position to start from is not among its options.",
    hasOthers &&
      `curl does not open ${surface === "websocket" ? "WebSockets" : "multiplexed connections"}; ` +
        "this command makes the same request over HTTP.",
  ]
    .filter((each) => each !== false)
    .join(" ");
}

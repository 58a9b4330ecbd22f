import type { AsyncApi, Definition, Surface } from "../document.js";
import type { Place, Problem } from "./check.js";
import { ABSENT, bytesField, type Draft, type Field, fieldOf, valueOf } from "./fields.js";
import { resolved, type Schema, type Schemas } from "./schema.js";

/** How a message travels: JSON, plain text, bytes, or not at all. */
export type Carrier = "json" | "text" | "bytes" | "none";

/** Options of a request, as they are entered. */
export interface Options {
  readonly token: string;
  readonly since: string;
  readonly maxRate: string;
  readonly limit: string;
  readonly query: string;
  readonly positions: boolean;
  readonly append: boolean;
}

export const NO_OPTIONS: Options = {
  token: "",
  since: "",
  maxRate: "",
  limit: "",
  query: "",
  positions: false,
  append: false,
};

/** The fields of a definition. */
export interface Form {
  readonly parameters: readonly { readonly name: string; readonly in: "path" | "query"; readonly field: Field }[];
  readonly message: Field | undefined;
  readonly carrier: Carrier;
}

/** What a person has entered into a form. Names of parameters are unique in a definition. */
export interface Inputs {
  readonly parameters: Readonly<Record<string, Draft>>;
  readonly message: Draft;
  readonly options: Options;
}

/** A position in a log. */
export interface Since {
  readonly epoch: string;
  readonly offset: number;
}

/** Everything that a surface and a snippet need to make one request. */
export interface Request {
  readonly definition: Definition;
  readonly surface: Surface;
  /** Address of the app, without a slash at its end: `http://localhost:8000`. */
  readonly root: string;
  /** Address of the multiplexed connection and of the files beside it: `http://localhost:8000/live`. */
  readonly live: string;
  /** The path with its parameters, encoded: `/price/BTC`. */
  readonly path: string;
  /** The query of the parameters and of what was added by hand, encoded, without the question mark. */
  readonly query: string;
  readonly carrier: Carrier;
  /** The message; undefined if there is none. */
  readonly message: unknown;
  readonly options: Options;
  readonly since: Since | undefined;
}

/** Names of the surfaces for people. */
export const SURFACES: Readonly<Record<Surface, string>> = {
  websocket: "WebSocket",
  multiplexed: "Multiplexed connection",
  sse: "Server-Sent Events",
  get: "GET",
  post: "POST",
};

const ORDER: readonly Surface[] = ["websocket", "multiplexed", "sse", "get", "post"];

/** Returns the surfaces of a definition that this page can use, the most useful first. */
export function surfacesOf(definition: Definition, carrier: Carrier): readonly Surface[] {
  // This page's multiplexed connection speaks JSON.
  const isBinary = definition.encoding === "bytes" || carrier === "bytes";
  return ORDER.filter((each) => definition.surfaces.includes(each) && !(each === "multiplexed" && isBinary));
}

/** Returns true if a definition is watched: the client does not start it alone. */
export function isWatched({ kind }: Definition): boolean {
  return kind === "feed" || kind === "topic";
}

/** Returns true if messages can be sent to a connection that is open. */
export function takesMore(definition: Definition, surface: Surface): boolean {
  const isOpen =
    surface === "websocket" ||
    (surface === "multiplexed" && (definition.kind === "topic" || definition.intake === "all"));
  return isOpen && definition.message !== null;
}

/** Returns true if a surface takes any message to a definition. */
export function takesAny(definition: Definition, surface: Surface): boolean {
  return startsWithMessage(definition) || takesMore(definition, surface);
}

/** Returns true if the first message goes with the request: it starts a run. */
export function startsWithMessage(definition: Definition): boolean {
  return definition.message !== null && !isWatched(definition) && definition.intake !== "all";
}

/** Returns the options that a definition has on a surface. */
export function optionsOf(definition: Definition, surface: Surface): ReadonlySet<keyof Options> {
  const has = new Set<keyof Options>(["token", "query"]);
  const isTaken = (name: string): boolean =>
    definition.parameters.some((each) => each.in === "query" && each.name === name);
  if (!isWatched(definition)) {
    return has;
  }
  const isPlain = definition.encoding !== "bytes";
  const offers: readonly (readonly [
    option: keyof Options,
    name: string,
    on: readonly Surface[],
    isOffered: boolean,
  ])[] = [
    ["maxRate", "max_rate", ["websocket", "multiplexed", "sse"], true],
    ["since", "since", ["websocket", "multiplexed", "sse"], true],
    ["positions", "positions", ["websocket"], isPlain],
    ["append", "append", ["websocket", "multiplexed", "sse"], Boolean(definition["grows"])],
    ["limit", "limit", ["get"], Boolean(definition.by)],
  ];
  for (const [option, name, on, isOffered] of offers) {
    if (on.includes(surface) && isOffered && !(isTaken(name) && !(surface === "multiplexed" && name === "since"))) {
      has.add(option);
    }
  }
  return has;
}

/** Returns the named schemas of a document. */
export function schemasOf(document: AsyncApi): Schemas {
  return document.components?.schemas ?? {};
}

/** Returns the form of a definition. */
export function formOf(definition: Definition, schemas: Schemas): Form {
  const parameters = definition.parameters.map((each) => {
    const described = { ...each.schema, ...(each.description !== undefined && { description: each.description }) };
    const schema =
      "default" in each && each.default !== undefined ? { ...described, default: each.default } : described;
    return { name: each.name, in: each.in, field: fieldOf(schema, schemas, each.name, each.required) };
  });
  const carrier = carrierOf(definition.message, schemas);
  const message =
    definition.message === null || definition.message === undefined
      ? undefined
      : carrier === "bytes"
        ? bytesField("message")
        : carrier === "text"
          ? { ...fieldOf(definition.message, schemas, "message", true), isLong: true }
          : fieldOf(definition.message, schemas, "message", true);
  return { parameters, message, carrier };
}

/** Returns how messages of a schema travel: plain texts, and bytes, are sent as they are. */
export function carrierOf(schema: Schema | null | undefined, schemas: Schemas): Carrier {
  if (schema === null || schema === undefined) {
    return "none";
  }
  const { type, format, enum: choices, const: only } = resolved(schema, schemas);
  if (type !== "string" || choices !== undefined || only !== undefined) {
    return "json";
  }
  return format === "binary" ? "bytes" : format === undefined ? "text" : "json";
}

/** Addresses of the app that serves a page. */
export interface Addresses {
  readonly root: string;
  readonly live: string;
}

/**
 * Returns the addresses of the app.
 *
 * @param base - Address of this page, which is the prefix of the app's `Live`.
 */
export function addressesOf(document: AsyncApi, base: string): Addresses {
  const { origin, pathname } = new URL(".", base);
  const live = pathname.replace(/\/$/, "");
  const prefix = document.servers?.["multiplexed"]?.["x-wirespeed"]?.prefix ?? "";
  const root = prefix !== "" && live.endsWith(prefix) ? live.slice(0, -prefix.length) : live;
  return { root: origin + root, live: origin + live };
}

/** A request, or the reasons why there is none; problems that do not block it are warnings. */
export interface Built {
  readonly request: Request | undefined;
  readonly problems: readonly Problem[];
}

/** Builds the request for what was entered. */
export function build(
  definition: Definition,
  surface: Surface,
  form: Form,
  inputs: Inputs,
  schemas: Schemas,
  addresses: Addresses,
): Built {
  const problems: Problem[] = [];
  const values = new Map<string, unknown>();
  for (const { name, in: place, field } of form.parameters) {
    const at: Place = [place, name];
    const found = valueOf(field, inputs.parameters[name] ?? ABSENT, schemas, at);
    problems.push(...found.problems);
    values.set(name, found.value);
    if (place === "path" && field.kind === "text" && found.value === "") {
      problems.push({ at, message: "Required", blocks: true });
    }
    if (place === "path" && surface !== "multiplexed" && /^\.\.?$/.test(String(found.value))) {
      problems.push({
        at,
        message: "Browsers do not send this as a part of a path; use the multiplexed connection",
        blocks: true,
      });
    }
  }
  let message: unknown;
  if (form.message !== undefined && takesAny(definition, surface)) {
    const found = valueOf(form.message, inputs.message, schemas, ["body"]);
    message = found.value;
    if (startsWithMessage(definition)) {
      problems.push(...found.problems);
    }
  }
  const has = optionsOf(definition, surface);
  const options = {
    ...NO_OPTIONS,
    ...Object.fromEntries(Object.entries(inputs.options).filter(([name]) => has.has(name as keyof Options))),
  };
  const since = sinceOf(options.since);
  if (options.since.trim() !== "" && since === undefined) {
    problems.push({ at: ["query", "since"], message: "Not a position, such as 9834ffd1:17", blocks: true });
  }
  const path = filled(definition.path, values);
  const query = queryOf(definition, values, options.query, surface);
  const isBlocked = problems.some((each) => each.blocks);
  const request: Request = {
    definition,
    surface,
    ...addresses,
    path,
    query,
    carrier: form.carrier,
    message,
    options,
    since,
  };
  return { request: isBlocked ? undefined : request, problems };
}

/** Returns a position: `9834ffd1:17`. */
function sinceOf(text: string): Since | undefined {
  const found = /^(.+):(\d{1,15})$/.exec(text.trim());
  return found === null ? undefined : { epoch: found[1]!, offset: Number(found[2]) };
}

/** Returns a path with its parameters: `/files/{name:path}` may have slashes in its value. */
function filled(template: string, values: ReadonlyMap<string, unknown>): string {
  return template.replaceAll(/\{([^}:]+)(?::([^}]*))?\}/g, (_, name: string, converter?: string) => {
    const text = encoded(textOf(values.get(name)));
    return converter === "path" ? text.replaceAll("%2F", "/") : text;
  });
}

/** Returns a text as a part of a URL. */
function encoded(text: string): string {
  return encodeURIComponent(wellFormed(text)).replaceAll("'", "%27");
}

/** Returns a text without halves of surrogate pairs, which no URL can have. */
function wellFormed(text: string): string {
  return new TextDecoder().decode(new TextEncoder().encode(text));
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : typeof value === "object" ? JSON.stringify(value) : String(value);
}

function queryOf(definition: Definition, values: ReadonlyMap<string, unknown>, more: string, surface: Surface): string {
  const query = new URLSearchParams();
  for (const { name, in: place } of definition.parameters) {
    const value = values.get(name);
    if (place === "query" && value !== undefined && value !== null) {
      for (const each of Array.isArray(value) ? (value as unknown[]) : [value]) {
        query.append(name, textOf(each));
      }
    }
  }
  for (const [name, value] of new URLSearchParams(more.trim().replace(/^[?&]/, ""))) {
    query.append(name, value);
  }
  return surface === "multiplexed" ? query.toString().replaceAll("#", "%23") : query.toString();
}

/** Returns the query with the options that a surface reads from it. */
export function fullQuery({ query, options, since, surface }: Request): string {
  const full = new URLSearchParams(query);
  if (options.maxRate.trim() !== "") {
    full.append("max_rate", options.maxRate.trim());
  }
  if (since !== undefined && surface !== "multiplexed") {
    full.append("since", options.since.trim());
  }
  if (options.limit.trim() !== "") {
    full.append("limit", options.limit.trim());
  }
  if (options.positions) {
    full.append("positions", "1");
  }
  if (options.append) {
    full.append("append", "1");
  }
  return full.toString();
}

/** Returns the address of a request over HTTP. */
export function urlOf(request: Request): string {
  const query = fullQuery(request);
  return request.root + request.path + (query && `?${query}`);
}

/** Returns the address of a raw WebSocket. */
export function socketUrlOf(request: Request): string {
  return urlOf(request).replace(/^http/, "ws");
}

/** Returns the channel of a request: its path without the leading slash, and its query. */
export function channelOf(request: Request): string {
  const query = fullQuery({ ...request, surface: "multiplexed" });
  return request.path.replace(/^\//, "") + (query && `?${query}`);
}

/** Returns the message in the form of a WebSocket: JSON, or the text or bytes as they are. */
export function frameOf(carrier: Carrier, message: unknown): string | Uint8Array<ArrayBuffer> {
  return carrier === "bytes"
    ? (message as Uint8Array<ArrayBuffer>)
    : carrier === "text"
      ? String(message)
      : JSON.stringify(message);
}

/** Returns the body of a POST, which is JSON; undefined if there is none. */
export function bodyOf({ carrier, message }: Request): string | undefined {
  return carrier === "none" || message === undefined ? undefined : JSON.stringify(message);
}

/** Returns true if a request over HTTP is a POST: it starts a stream or makes a call. */
export function isPost({ definition }: Request): boolean {
  return !isWatched(definition);
}

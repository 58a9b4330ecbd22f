// The AsyncAPI document of the app, and the definitions in it.

import { at } from "./address.js";

/** A JSON Schema, as Pydantic writes it. */
export interface Schema {
  $ref?: string;
  title?: string;
  description?: string;
  type?: string | string[];
  format?: string;
  const?: unknown;
  enum?: unknown[];
  default?: unknown;
  examples?: unknown[];
  deprecated?: boolean;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  discriminator?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  items?: Schema | boolean;
  prefixItems?: Schema[];
  minItems?: number;
  maxItems?: number;
  uniqueItems?: boolean;
  minLength?: number;
  maxLength?: number;
  pattern?: string;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  multipleOf?: number;
  [other: string]: unknown;
}

export type Kind = "stream" | "feed" | "topic" | "call";

export type Surface = "websocket" | "multiplexed" | "get" | "post" | "sse";

/** A parameter of the path or of the query string. */
export interface Parameter {
  name: string;
  in: "path" | "query";
  required: boolean;
  schema: Schema;
  default?: unknown;
  description?: string;
}

export interface ErrorResponse {
  description: string;
  schema: Schema | null;
}

/** What `x-wirespeed` says of a channel. Options that a definition does not have are left out. */
interface Extension {
  kind: Kind;
  path: string;
  /** The name on the multiplexed connection; of calls, the method. */
  channel: string;
  parameters: Parameter[];
  surfaces: Surface[];
  /** The form of values. */
  encoding: "json" | "text" | "bytes";
  /** How a stream takes messages: `wirespeed.definitions.Intake`, in lower case. */
  intake?: string;
  keep?: "latest" | { entries: number } | { seconds: number } | null;
  by?: string | null;
  orderBy?: string | null;
  value: Schema;
  message: Schema | null;
  /** The schema of the name of a table's row. */
  row?: Schema | null;
  errors?: Record<string, ErrorResponse>;
  security?: unknown[];
  deprecated?: boolean;
  /** Further options, such as `maxRate` and `onLag`. */
  [option: string]: unknown;
}

interface Channel {
  address: string;
  title?: string;
  summary?: string;
  description?: string;
  tags?: { name: string }[];
  "x-wirespeed"?: Extension;
}

interface Server {
  host: string;
  protocol: string;
  pathname?: string;
  "x-wirespeed"?: { protocol: string; prefix: string };
}

export interface AsyncApi {
  asyncapi: string;
  info: { title: string; version: string; description?: string };
  servers?: Record<string, Server>;
  channels: Record<string, Channel>;
  components?: { schemas?: Record<string, Schema>; securitySchemes?: Record<string, unknown> };
}

/** A stream, feed, topic or call of the app. */
export interface Definition extends Extension {
  /** The channel's name in the document. */
  id: string;
  title: string;
  summary: string;
  description: string;
  tags: string[];
  deprecated: boolean;
}

/** Returns the definitions of a document in its order, which is that of their declarations. */
export function definitionsOf(document: AsyncApi): Definition[] {
  return Object.entries(document.channels).flatMap(([id, channel]) => {
    const extension = channel["x-wirespeed"];
    return extension ? [{ ...extension, ...wordsOf(id, channel) }] : [];
  });
}

function wordsOf(id: string, channel: Channel) {
  const { title = "", summary = "", description = "", tags = [] } = channel;
  const deprecated = channel["x-wirespeed"]?.deprecated ?? false;
  return { id, title, summary, description, tags: tags.map(({ name }) => name), deprecated };
}

const POINTER = /^#\/components\/schemas\/(.+)$/;

/** Returns the name of the schema that this one refers to, or null. */
export function nameOf(schema: Schema): string | null {
  const found = POINTER.exec(schema.$ref ?? "")?.[1];
  return found === undefined ? null : decodeURIComponent(found.replaceAll("~1", "/").replaceAll("~0", "~"));
}

/** Returns the schema that this one refers to, or itself. What is written beside the reference takes precedence. */
export function resolve(schema: Schema, document: AsyncApi): Schema {
  let found = schema;
  // A chain of references is short. One that leads back to itself ends here.
  for (let depth = 0; depth < 10; depth += 1) {
    const name = nameOf(found);
    const target = name === null ? undefined : document.components?.schemas?.[name];
    if (!target) {
      return found;
    }
    const { $ref: _, ...own } = found;
    found = { ...target, ...own };
  }
  return found;
}

/** Returns the schema of a tuple in the words of newer dialects: AsyncAPI has the places of a tuple in `items`. */
function modern(_: string, value: unknown): unknown {
  const { type, items, additionalItems, ...others } = (value ?? {}) as Record<string, unknown>;
  if (type !== "array" || !Array.isArray(items)) {
    return value;
  }
  return { ...others, type, prefixItems: items, ...(additionalItems === undefined ? {} : { items: additionalItems }) };
}

/** Fetches the document of the server that serves this page. */
export async function load(): Promise<AsyncApi> {
  const response = await fetch(at("asyncapi.json"), { headers: { accept: "application/json" } });
  if (!response.ok) {
    throw new Error(`asyncapi.json answered with ${response.status} ${response.statusText}`.trim());
  }
  return JSON.parse(await response.text(), modern) as AsyncApi;
}

/**
 * The AsyncAPI document of an app, as far as types need it.
 */
import { Problem } from "./problem.ts";

/** A JSON schema. */
export type Schema = boolean | { readonly [keyword: string]: unknown };

/** What Wirespeed says about a channel in addition to AsyncAPI. */
export interface Details {
  readonly kind: "stream" | "feed" | "topic" | "call";
  readonly channel: string;
  readonly parameters?: readonly Parameter[];
  readonly encoding?: "json" | "text" | "bytes";
  readonly deprecated?: boolean;
  readonly messageEncoding?: "json" | "text" | "bytes" | null;
  readonly intake?: "nothing" | "each" | "all";
  readonly by?: string | null;
  readonly keep?: "latest" | { readonly entries: number } | { readonly seconds: number } | null;
  readonly presence?: boolean;
  readonly history?: boolean | "resume";
  readonly value?: Schema | null;
  readonly message?: Schema | null;
  readonly errors?: Readonly<Record<string, { readonly description?: string; readonly schema?: Schema | null }>>;
}

/** A path or query parameter. */
export interface Parameter {
  readonly name: string;
  readonly in: "path" | "query";
  readonly required?: boolean;
  readonly schema?: Schema;
  readonly default?: unknown;
  readonly description?: string;
}

/** A channel. */
export interface Channel {
  readonly title?: string;
  readonly summary?: string;
  readonly description?: string;
  readonly "x-wirespeed"?: Details;
}

/** The document. */
export interface Document {
  readonly asyncapi: string;
  readonly info?: { readonly title?: string };
  readonly servers?: Readonly<Record<string, { readonly "x-wirespeed"?: unknown }>>;
  readonly channels?: Readonly<Record<string, Channel>>;
  readonly components?: { readonly schemas?: Readonly<Record<string, Schema>> };
}

/**
 * Returns the document that a text holds.
 *
 * @param where - Where the text comes from, for error messages.
 * @throws {@link Problem} The text is not the AsyncAPI document of an app with Wirespeed.
 */
export function documentIn(text: string, where: string): Document {
  const found = parsed(text, where);
  if (typeof found !== "object" || found === null || !("asyncapi" in found)) {
    const is = typeof found === "object" && found !== null && "openapi" in found ? "an OpenAPI" : "not an AsyncAPI";
    throw new Problem(`${where} is ${is} document. Wirespeed serves its AsyncAPI document at /live/asyncapi.json.`);
  }
  const document = found as Document;
  if (!/^3\./.test(String(document.asyncapi))) {
    throw new Problem(`${where} is an AsyncAPI document of version ${document.asyncapi}; only version 3 is supported.`);
  }
  const described = [...Object.values(document.servers ?? {}), ...Object.values(document.channels ?? {})];
  if (!described.some((each) => each["x-wirespeed"] !== undefined)) {
    throw new Problem(`${where} does not describe an app with Wirespeed: none of its channels and servers has "x-wirespeed".`);
  }
  return document;
}

function parsed(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    const start = text.trim().slice(0, 40).replace(/\s+/g, " ");
    throw new Problem(
      `${where} is not JSON: it ${start ? `begins with ${JSON.stringify(start)}` : "is empty"}. Give the URL of the app's ` +
        "AsyncAPI document, such as http://localhost:8000/live/asyncapi.json, or a file with it.",
    );
  }
}

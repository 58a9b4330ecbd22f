/**
 * Reading a document from a URL, a file, or the standard input.
 */
import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { causeOf, Exit, Problem } from "./problem.ts";

const TIMEOUT = 30_000;

/** Path of the document of a server whose URL has no path. */
const PATH = "/live/asyncapi.json";

/** A text, and its name for people. */
export interface Source {
  readonly text: string;
  readonly name: string;
}

/**
 * Reads a document.
 *
 * @param source - URL, name of a file, or `-` for the standard input.
 * @param headers - Headers of a request.
 * @throws {@link Problem} It cannot be read.
 */
export async function read(source: string, headers: Readonly<Record<string, string>>): Promise<Source> {
  if (source === "-") {
    return { text: await text(process.stdin), name: "The standard input" };
  }
  if (/^https?:/i.test(source)) {
    return fetched(source, headers);
  }
  try {
    return { text: await readFile(source, "utf8"), name: source };
  } catch (error) {
    throw new Problem(`${source} cannot be read: ${causeOf(error)}. Give a URL that begins with http://, or a file.`);
  }
}

async function fetched(source: string, headers: Readonly<Record<string, string>>): Promise<Source> {
  const url = addressOf(source);
  let answer: Response;
  try {
    answer = await fetch(url, { headers: { accept: "application/json", ...headers }, signal: AbortSignal.timeout(TIMEOUT) });
  } catch (error) {
    throw new Problem(`${url} cannot be reached: ${reasonOf(error)}. Start the app, and check the address.`, Exit.Unreachable);
  }
  if (!answer.ok) {
    throw new Problem(`${url} answers with status ${answer.status}. ${ADVICE[answer.status] ?? "Check the log of the app."}`);
  }
  return { text: await answer.text(), name: url };
}

const LOGIN = 'It asks for a login: pass a header, as in --header "Authorization: Bearer ...".';

const ADVICE: Readonly<Record<number, string>> = {
  401: LOGIN,
  403: LOGIN,
  404:
    "If this is an app with Wirespeed, its document has another address: Live(prefix=...) changes /live, and " +
    "FastAPI(openapi_url=None) turns it off.",
};

function addressOf(source: string): string {
  if (!URL.canParse(source)) {
    throw new Problem(`${source} is not a URL. Write one like http://localhost:8000${PATH}.`, Exit.Usage);
  }
  const url = new URL(source);
  url.pathname = url.pathname === "/" ? PATH : url.pathname;
  return url.href;
}

function reasonOf(error: unknown): string {
  const { name, message, cause } = error as Error & { readonly cause?: { readonly code?: string; readonly message?: string } };
  return name === "TimeoutError" ? `no answer within ${TIMEOUT / 1000} seconds` : cause?.message || cause?.code || message;
}

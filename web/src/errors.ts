/**
 * A refusal or failure. `code` is the server's, such as 102 (unknown path), 103 (not allowed) and 107 (bad input). If the
 * app refused, `status` and `detail` are those of its `HTTPException`.
 */
export class WirespeedError extends Error {
  override readonly name = "WirespeedError";

  /**
   * @param code - Code of the protocol; 0 for an error of the client itself.
   * @param message - What happened, where, and what to do.
   * @param status - HTTP status with which the app refused; undefined if it has no part in the error.
   * @param detail - Detail of the app's `HTTPException`; for a status of 422, FastAPI's list of errors.
   */
  constructor(
    readonly code: number,
    message: string,
    readonly status?: number,
    readonly detail?: unknown,
  ) {
    super(message);
  }
}

const WORDS = new Map([
  [101, "The server requires a login: log in, or pass a token to connect()."],
  [102, "The server has no feed, topic, stream or call at this path."],
  [103, "You are not allowed to do this."],
  [109, "The token has expired: get a new one."],
]);

/** Returns the error for an error or event of the SDK, with its path. */
export function errorAt(path: string, error: unknown): WirespeedError {
  const { code = 0, message = "" } = (error ?? {}) as { code?: number; message?: string };
  const { message: said, status, detail } = explained(message);
  const advice = code === 102 && status !== undefined ? "" : WORDS.get(code); // a 404 of the app's own is about its data
  const why = [advice ? said.replace(/\.$/, "") : said, advice].filter(Boolean).join(". ");
  return new WirespeedError(code, `${path}: ${why || "the request failed"}`, status, detail);
}

/** Returns the error for a refusal of the connection. */
export function refusalOf(code: number, reason: string): WirespeedError {
  const { message, status, detail } = explained(reason);
  return new WirespeedError(code, message, status, detail);
}

/** What the server says about a refusal. */
interface Explanation {
  readonly message: string;
  readonly status?: number;
  readonly detail?: unknown;
}

/** Returns what a reason of the server says: a text, or JSON with the status and detail of the app. */
export function explained(reason: string): Explanation {
  try {
    return reason.startsWith("{") ? { message: reason, ...(JSON.parse(reason) as object) } : { message: reason };
  } catch {
    return { message: reason };
  }
}

/** An error of the server with the status and the detail of the app's `HTTPException`. */
export type Refusal<Status extends number = number, Detail = unknown> = WirespeedError & {
  readonly status: Status;
  readonly detail: Detail;
};

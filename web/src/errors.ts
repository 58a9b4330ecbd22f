/** A refusal or failure. `code` is the server's, such as 102 (unknown path), 103 (not allowed) and 107 (bad input). */
export class WirespeedError extends Error {
  override readonly name = "WirespeedError";

  /**
   * @param code - Code of the protocol; 0 for an error of the client itself.
   * @param message - What happened, where, and what to do.
   */
  constructor(
    readonly code: number,
    message: string,
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
  const why = [message, WORDS.get(code)].filter(Boolean).join(". ");
  return new WirespeedError(code, `${path}: ${why || "the request failed"}`);
}

/** What was refused, or has failed. `code` is the server's: 102 no such feed, 103 not allowed, 107 a bad parameter... */
export class WirespeedError extends Error {
  override readonly name = "WirespeedError";

  /**
   * @param code - The protocol's code; 0 where the client itself has failed.
   * @param message - What has happened, where, and what can be done.
   */
  constructor(
    readonly code: number,
    message: string,
  ) {
    super(message);
  }
}

const WORDS = new Map([
  [101, "The server wants to know who you are: give connect() a token, or log in."],
  [102, "The server has no feed, topic, stream or call on this path."],
  [103, "You may not."],
  [109, "The token has expired."],
]);

/** An error of the SDK, or of an event of it, with the path that it is about. */
export function errorAt(path: string, error: unknown): WirespeedError {
  const { code = 0, message = "" } = (error ?? {}) as { code?: number; message?: string };
  const why = [message, WORDS.get(code)].filter(Boolean).join(". ");
  return new WirespeedError(code, `${path}: ${why || "it has failed"}`);
}

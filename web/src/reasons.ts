/** Returns true if the server says that a feed or run is complete. `Client.unsubscribe()` has the same code. */
export function isComplete(code: number, reason: string): boolean {
  return code === 2000 && reason === "complete";
}

/** The reason of a status. */
export interface Reason {
  /** A sentence for people. */
  readonly reason: string;
  readonly code: number;
}

/** Code of an expired token, for which the SDK gets another one at once. */
export const EXPIRED = 109;

/** Code by which the server says that it stops. */
const SHUTDOWN = 3001;

/** Codes from here on come from the server; lower ones come from the SDK. */
export const SERVER = 100;

/** Returns the reason of a connection that is lost, and is being made again. */
export function lossOf(code: number, text: string): Reason {
  const ended = code === SHUTDOWN ? "The server is restarting" : `The server has ended the connection (${bare(text)})`;
  const why = code < SERVER ? "The connection was lost" : ended;
  return { code, reason: code === 0 ? "The page is connecting again." : `${why}; trying again.` };
}

/** Returns the reason of a subscription that was interrupted. The SDK begins it again. */
export function interruptionOf(code: number, text: string): Reason {
  const why = code < SERVER ? "The connection was lost; trying again." : `The server has ended the subscription (${bare(text)}); trying again.`;
  return { code, reason: why };
}

/** Returns the reason of a connection that the server has closed for good. */
export function endOf(code: number, text: string): Reason {
  return { code, reason: code <= 1 || code === 101 ? "The server requires a login." : `The server has closed the connection: ${bare(text)}.` };
}

/** Returns a text without the period at its end. */
function bare(text: string): string {
  return text.replace(/\.$/, "");
}

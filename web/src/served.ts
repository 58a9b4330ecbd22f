/**
 * What the server serves as one file: the same, and by itself it connects to where the file came from.
 *
 * @packageDocumentation
 */
import { connect as connectTo, type ConnectOptions, type Live } from "./live.js";

export * from "./index.js";

/**
 * Connects to a server, and comes back whenever the connection is lost.
 *
 * @param options - Where, and as whom; a string is the url. By default the connection beside this file.
 */
export function connect(options: string | ConnectOptions = {}): Live {
  const { url = beside(), ...how } = typeof options === "string" ? { url: options } : options;
  return connectTo({ ...how, url });
}

function beside(): string {
  const file = import.meta.url; // not in the expression: bundlers take that for a file to be copied
  return new URL("websocket", file).href;
}

/**
 * The file that the server serves: the package in one module. By default, it connects to the server of the file.
 *
 * @packageDocumentation
 */
import { connect as connectTo } from "./connect.js";
import type { ConnectOptions, Live } from "./live.js";
import type { LiveOf } from "./paths.js";

export * from "./index.js";

/**
 * Connects to a server, and reconnects whenever the connection is lost.
 *
 * @param options - Options of the connection; a string is the address. By default, it is beside this file.
 */
export function connect(options?: string | ConnectOptions): Live;
export function connect<Paths extends object>(options?: string | ConnectOptions): LiveOf<Paths>;
export function connect(options: string | ConnectOptions = {}): unknown {
  const { url = beside(), ...how } = typeof options === "string" ? { url: options } : options;
  return connectTo({ ...how, url });
}

function beside(): string {
  const file = import.meta.url; // in a variable, because bundlers would copy a file that the expression names
  return new URL("websocket", file).href;
}

import { type ConnectOptions, Live } from "./live.js";
import type { LiveOf } from "./paths.js";

/**
 * Connects to a server, and reconnects whenever the connection is lost. Where pages are rendered on a server, it does
 * nothing: the status stays `connecting`.
 *
 * With generated types, `connect<Paths>()` knows the app's paths, with their parameters, values, messages and errors.
 *
 * @param options - Options of the connection; a string is the address.
 */
export function connect(options?: string | ConnectOptions): Live;
export function connect<Paths extends object>(options?: string | ConnectOptions): LiveOf<Paths>;
export function connect(options: string | ConnectOptions = {}): unknown {
  return new Live(typeof options === "string" ? { url: options } : options);
}

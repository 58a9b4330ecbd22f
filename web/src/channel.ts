import { WirespeedError } from "./errors.js";

type Value = string | number | boolean;

/** Values of parameters; undefined ones are omitted, and a list is a parameter that is repeated. */
export type Params = Readonly<Record<string, Value | readonly Value[] | undefined>>;

/** The option that has the parameters of a query. */
export interface ParamsOption {
  /** Parameters of the query. */
  readonly params?: Params;
}

/** A path as it is declared, with the names of its parameters: `price/{symbol}`. */
export type Template = `${string}{${string}}${string}`;

/**
 * Returns the channel of a path: the path without its leading slash, with a query of the parameters.
 *
 * @param path - Declared path with its parameters filled in: `price/BTC`. It may have a query.
 * @param params - Further parameters of the query, in their order.
 * @param maxRate - Highest number of updates per second.
 */
export function channelOf(path: string, params: Params = {}, maxRate?: number): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...params, max_rate: maxRate })) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== undefined) {
        query.append(name, String(each));
      }
    }
  }
  const plain = path.replace(/^\//, "");
  const more = query.toString();
  return more ? `${plain}${plain.includes("?") ? "&" : "?"}${more}` : plain;
}

/**
 * Returns a path with its parameters filled in, the parameters for its query, and the other arguments. After a path with
 * `{name}`, the first argument has its parameters; what the path does not name is for the query.
 *
 * @throws {@link WirespeedError} A parameter is missing.
 */
export function placed<Rest extends unknown[]>(path: string, args: readonly unknown[]): [string, Params, ...Partial<Rest>] {
  if (!path.includes("{")) {
    return [path, {}, ...(args as unknown as Partial<Rest>)];
  }
  const [given, ...rest] = args;
  const query: Record<string, Params[string]> = { ...(given as Params) };
  const filled = path.replace(/\{([^}:]+)(?::[^}]*)?\}/g, (_, name: string) => {
    const value = query[name];
    delete query[name];
    if (value === undefined || value === null || value === "" || typeof value === "object") {
      const found = value === undefined ? "missing" : JSON.stringify(value);
      throw new WirespeedError(0, `${path}: the parameter ${name} is ${found}; pass its value, as in { ${name}: "..." }`);
    }
    return encodeURIComponent(value);
  });
  return [filled, query, ...(rest as unknown as Partial<Rest>)];
}

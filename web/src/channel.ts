/** Values of query parameters; undefined ones are omitted. */
export type Params = Readonly<Record<string, string | number | boolean | undefined>>;

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
    if (value !== undefined) {
      query.append(name, String(value));
    }
  }
  const plain = path.replace(/^\//, "");
  const more = query.toString();
  return more ? `${plain}${plain.includes("?") ? "&" : "?"}${more}` : plain;
}

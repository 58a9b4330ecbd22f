/** Values of query parameters; what is undefined is left out. */
export type Params = Readonly<Record<string, string | number | boolean | undefined>>;

/**
 * The channel of a path: without the leading slash, with its parameters.
 *
 * @param path - As it is declared, with its parameters filled in: `price/BTC`; a query of its own stays.
 * @param params - More for the query, in their order.
 * @param maxRate - At most so many times per second.
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

// Addresses of the server that serves this page, which may be under any prefix and behind any proxy.

/** Returns the address of a file or an endpoint beside this page. */
export function at(path: string, query: Record<string, string | number> = {}): URL {
  const url = new URL(path, document.baseURI);
  url.hash = "";
  url.search = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)])).toString();
  return url;
}

/** Returns the address of a WebSocket beside this page. */
export function socketAt(path: string, query: Record<string, string | number> = {}): URL {
  const url = at(path, query);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url;
}

// Views by the fragment of the address: #/definition/price/{symbol}, #/key/price/BTC, #/client/worker-1/4f2a.

import { useEffect, useState } from "preact/hooks";

/** The parts of a definition's page. */
export type Part = "definition" | "types" | "try";

export type Route =
  | { view: "definitions" | "clients" | "processes" }
  | { view: Part; path: string }
  | { view: "key"; text: string }
  | { view: "client"; process: string; id: string }
  | { view: "unknown" };

/** Returns the route of a fragment. */
export function parse(hash: string): Route {
  const [, view = "", rest = ""] = /^#\/?([a-z]*)(.*)$/.exec(hash) ?? [];
  const decoded = decode(rest);
  switch (view) {
    case "":
    case "definitions":
      return { view: "definitions" };
    case "clients":
    case "processes":
      return { view };
    case "definition":
    case "types":
    case "try":
      return decoded === "" ? { view: "unknown" } : { view, path: decoded };
    case "key":
      return decoded === "" ? { view: "unknown" } : { view, text: decoded };
    case "client": {
      const [, process, id] = rest.split("/");
      return process && id ? { view, process: decode(process), id: decode(id) } : { view: "unknown" };
    }
    default:
      return { view: "unknown" };
  }
}

/** Returns the fragment of a route. */
export function link(route: Exclude<Route, { view: "unknown" }>): string {
  switch (route.view) {
    case "definitions":
      return "#/";
    case "clients":
    case "processes":
      return `#/${route.view}`;
    case "key":
      return `#/key${encode(route.text)}`;
    case "client":
      return `#/client/${encodeURIComponent(route.process)}/${encodeURIComponent(route.id)}`;
    default:
      return `#/${route.view}${encode(route.path)}`;
  }
}

/** Encodes all but the characters that are common in paths and need not be encoded, so that people can read it. */
function encode(text: string): string {
  return encodeURIComponent(text).replace(/%(2F|7B|7D|3D|2C|3A|40)/g, decodeURIComponent);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Returns the current route; the component renders again when it changes. */
export function useRoute(): Route {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const onChange = (): void => setHash(location.hash);
    addEventListener("hashchange", onChange);
    return () => removeEventListener("hashchange", onChange);
  }, []);
  return parse(hash);
}

import type { Place } from "./check.js";

/** A refusal or failure, as the page shows it. */
export interface Refusal {
  /** HTTP status, or code of the protocol; undefined if the browser does not tell. */
  readonly status: number | undefined;
  readonly message: string;
  /** Problems of single inputs, as FastAPI lists them. */
  readonly inputs: readonly { readonly at: Place; readonly message: string }[];
}

interface Item {
  readonly loc?: Place;
  readonly msg?: string;
}

/** Returns the refusal of a status and a detail, which may be FastAPI's list of errors. */
export function refusalOf(status: number | undefined, message: string, detail?: unknown): Refusal {
  const items = Array.isArray(detail) ? (detail as readonly (Item | null)[]) : [];
  const inputs = items.flatMap((item) =>
    Array.isArray(item?.loc) && typeof item.msg === "string" ? [{ at: item.loc, message: item.msg }] : [],
  );
  const more =
    typeof detail === "string" ? detail : detail !== undefined && inputs.length === 0 ? JSON.stringify(detail) : "";
  return { status, message: message || more || (inputs.length > 0 ? "An input was refused." : ""), inputs };
}

/** Returns the refusal of an error response: its body may be JSON with a detail. */
export function refusalOfBody(status: number, statusText: string, body: string): Refusal {
  const said = json(body) as { readonly detail?: unknown; readonly error?: unknown } | undefined;
  const inside = errorFrame(said);
  if (inside !== undefined) {
    return inside;
  }
  const detail = typeof said === "object" && said !== null ? said.detail : undefined;
  const message =
    detail === undefined ? body.trim().slice(0, 500) || statusText : typeof detail === "string" ? detail : "";
  return refusalOf(status, message, detail);
}

/** Returns the refusal of an error frame, `{"error": {"code": 409, ...}}`; undefined if a value is something else. */
export function errorFrame(value: unknown): Refusal | undefined {
  if (typeof value !== "object" || value === null || Object.keys(value).length !== 1) {
    return undefined;
  }
  const { error } = value as {
    readonly error?: { readonly code?: unknown; readonly message?: unknown; readonly detail?: unknown } | null;
  };
  const isError =
    typeof error === "object" && error !== null && typeof error.code === "number" && typeof error.message === "string";
  return isError ? refusalOf(error.code as number, error.message as string, error.detail) : undefined;
}

/** Returns the refusal of an error of the SDK: its text may be JSON of a message, a status and a detail. */
export function refusalOfCode(code: number, reason: string): Refusal {
  const said = reason.startsWith("{")
    ? (json(reason) as { readonly message?: unknown; readonly status?: unknown; readonly detail?: unknown } | undefined)
    : undefined;
  if (typeof said?.message !== "string") {
    return refusalOf(code, reason);
  }
  return refusalOf(typeof said.status === "number" ? said.status : code, said.message, said.detail);
}

const CLOSES: Readonly<Record<number, string>> = {
  1000: "complete",
  1001: "the server or the page goes away",
  1005: "without a code",
  1006: "the connection was lost, or refused: browsers do not tell pages why",
  1008: "the server refuses",
  1009: "a message was too large",
  1011: "the run failed",
  1012: "the server is stopping; try again",
  1013: "the watcher was too slow, or something is not available; try again",
};

/** Returns what a close code means; empty if it is the app's own. */
export function meaningOf(code: number): string {
  return CLOSES[code] ?? "";
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

import type { Place, Problem } from "./check.js";
import { fieldAt } from "./fields.js";
import type { Refusal } from "./refusal.js";
import type { Form } from "./request.js";

/** Problems by the place of the field that shows them. */
export type Shown = ReadonlyMap<string, readonly string[]>;

/** Names of options in a query, and their fields. */
const OPTIONS: ReadonlySet<string> = new Set(["since", "max_rate", "limit", "positions", "append"]);

/** Returns the key of a place. */
export function keyOf(place: Place): string {
  return place.map((each) => String(each)).join("/");
}

/** Returns the problems that belong to fields of a form, and those that belong to none. */
export function placed(
  form: Form,
  hasForm: boolean,
  problems: readonly Problem[],
  refusal: Refusal | undefined,
): { readonly shown: Shown; readonly others: readonly string[] } {
  const shown = new Map<string, string[]>();
  const others: string[] = [];
  const take = ({ at, message }: Pick<Problem, "at" | "message">, places: Map<string, string[]>): void => {
    const place = placeOf(form, hasForm, at);
    if (place === undefined) {
      others.push(`${at.join(".")}: ${message}`);
      return;
    }
    const rest = at.slice(place.length).join(".");
    const key = keyOf(place);
    const text = rest === "" ? message : `${rest}: ${message}`;
    places.set(key, [...new Set(places.get(key)).add(text)]);
  };
  problems.forEach((each) => take(each, shown));
  // The server's words take the place of our own.
  const said = new Map<string, string[]>();
  refusal?.inputs.forEach((each) => take(each, said));
  said.forEach((texts, key) => shown.set(key, texts));
  return { shown, others };
}

/** Returns the place of the field for a problem; undefined if the form has none. */
function placeOf(form: Form, hasForm: boolean, at: Place): Place | undefined {
  const [where, name, ...rest] = at;
  if (where === "body") {
    const inside = name === undefined ? [] : [name, ...rest];
    return form.message === undefined ? undefined : ["body", ...(hasForm ? fieldAt(form.message, inside) : [])];
  }
  const parameter = form.parameters.find((each) => each.in === where && each.name === name);
  if (parameter !== undefined) {
    return [parameter.in, parameter.name, ...fieldAt(parameter.field, rest)];
  }
  return where === "query" && OPTIONS.has(String(name)) ? [where, String(name)] : undefined;
}

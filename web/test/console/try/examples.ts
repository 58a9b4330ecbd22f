import type { Definition, Parameter } from "../../../console/src/document.js";
import type { Draft } from "../../../console/src/try/fields.js";

type Some = "kind" | "path" | "surfaces" | "encoding" | "intake" | "by" | "orderBy" | "value" | "message" | "row";

/** What a test says about a definition. */
interface Given extends Partial<Pick<Definition, Some>> {
  readonly parameters?: readonly (Partial<Parameter> & Pick<Parameter, "name" | "in">)[];
}

/** Returns a definition with some properties of its own. */
export function definition({ parameters = [], ...more }: Given): Definition {
  return {
    id: "each",
    title: "each",
    summary: "",
    description: "",
    tags: [],
    deprecated: false,
    kind: "feed",
    path: "/each",
    channel: (more.path ?? "/each").slice(1),
    surfaces: ["websocket", "multiplexed", "get", "post", "sse"],
    encoding: "json",
    value: {},
    message: null,
    ...more,
    parameters: parameters.map((each) => ({ required: true, schema: { type: "string" }, ...each })),
  };
}

export function text(entered: string): Draft {
  return { is: "text", text: entered };
}

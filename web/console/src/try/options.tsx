// The options of a request beside its parameters.

import type { Definition } from "../document.js";
import { idOf, Problems } from "./field.js";
import { keyOf, type Shown } from "./problems.js";
import { type Options, optionsOf, type Request } from "./request.js";

interface Props {
  readonly definition: Definition;
  readonly surface: Request["surface"];
  readonly options: Options;
  readonly ids: string;
  readonly problems: Shown;
  readonly onChange: (options: Options) => void;
}

interface Text {
  readonly option: "token" | "since" | "maxRate" | "limit" | "query";
  /** Name in the query, by which the server reports problems. */
  readonly name: string;
  readonly label: string;
  readonly hint: string;
  readonly inputMode?: "numeric";
}

const TEXTS: readonly Text[] = [
  {
    option: "token",
    name: "token",
    label: "Token",
    hint: "Sent when the connection is made, or as a bearer token in a header",
  },
  { option: "maxRate", name: "max_rate", label: "Highest rate", hint: "Updates per second", inputMode: "numeric" },
  { option: "since", name: "since", label: "Since", hint: "A position, such as 9834ffd1:17" },
  { option: "limit", name: "limit", label: "Limit", hint: "Largest number of rows", inputMode: "numeric" },
  { option: "query", name: "*", label: "Further query", hint: "As in a URL: a=1&b=2" },
];

const SWITCHES = [
  { option: "positions", label: "Positions", hint: "Each value with its position" },
  { option: "append", label: "Pieces", hint: "Of a growing text, what was appended" },
] as const;

/** The token of a raw WebSocket cannot be sent by a page, but by copied code. */
const NO_HEADERS = "Pages cannot send headers with a WebSocket: only the copied code sends it";

/** Inputs for the options that a definition has on a surface. */
export function OptionsView({ definition, surface, options, ids, problems, onChange }: Props) {
  const has = optionsOf(definition, surface);
  return (
    <>
      {TEXTS.filter(({ option }) => has.has(option)).map(({ option, name, label, hint, inputMode }) => {
        const id = idOf(ids, ["query", name]);
        const wrong = problems.get(keyOf(["query", name])) ?? [];
        return (
          <div class="try-field" key={option}>
            <div class="try-label">
              <label for={id}>{label}</label>
            </div>
            <input
              id={id}
              class={option === "token" ? "try-secret" : undefined}
              type="text"
              value={options[option]}
              inputMode={inputMode}
              autocomplete="off"
              spellcheck={false}
              aria-invalid={wrong.length > 0}
              aria-describedby={`${id}-hint ${id}-problems`}
              onInput={({ currentTarget }) => onChange({ ...options, [option]: currentTarget.value })}
            />
            <p class="try-hint" id={`${id}-hint`}>
              {option === "token" && surface === "websocket" ? NO_HEADERS : hint}
            </p>
            <Problems id={`${id}-problems`} texts={wrong} />
          </div>
        );
      })}
      {SWITCHES.filter(({ option }) => has.has(option)).map(({ option, label, hint }) => (
        <label class="try-switch" key={option}>
          <input
            type="checkbox"
            checked={options[option]}
            onChange={({ currentTarget }) => onChange({ ...options, [option]: currentTarget.checked })}
          />
          <span>
            {label} <small>{hint}</small>
          </span>
        </label>
      ))}
    </>
  );
}

/** Returns how many options are set. */
export function setOptions(definition: Definition, surface: Request["surface"], options: Options): number {
  return [...optionsOf(definition, surface)].filter((each) => options[each] !== "" && options[each] !== false).length;
}

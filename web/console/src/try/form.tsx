// The form of a request, with its buttons.

import { useId, useState } from "preact/hooks";
import type { Problem } from "./check.js";
import { FieldView, idOf } from "./field.js";
import type { Draft } from "./fields.js";
import { useSession } from "./hooks.js";
import { type Entered, messageField, messageOf, type Model, turned } from "./inputs.js";
import { OptionsView, setOptions } from "./options.js";
import { placed, type Shown } from "./problems.js";
import type { Refusal } from "./refusal.js";
import { type Built, type Inputs, isWatched, type Request, SURFACES, takesAny, takesMore } from "./request.js";
import type { Session } from "./session.js";

interface FormProps {
  readonly model: Model;
  readonly session: Session;
  readonly entered: Entered;
  readonly built: Built;
  readonly onChange: (entered: Entered) => void;
}

/** What was asked for: problems are shown from then on. */
type Asked = "nothing" | "start" | "send";

/** The inputs of a request. Its button starts a run; while one goes on, others stop it and send messages. */
export function RequestForm({ model, session, entered, built, onChange }: FormProps) {
  const ids = useId();
  const [asked, setAsked] = useState<Asked>("nothing");
  const isActive = useSession(session, (each) => each.isActive);
  const refusal = useSession(session, (each) => each.refusal);
  const { definition, form } = model;
  const { surface, inputs, isJson } = entered;
  const problems = problemsOf(model, entered, built, asked);
  const { shown, others } = placed(form, !isJson, problems, refusal);
  const canSend = takesMore(definition, surface);
  const change = (next: Partial<Inputs>): void => onChange({ ...entered, inputs: { ...inputs, ...next } });
  const start = (): void => {
    setAsked("start");
    built.request ? session.start(built.request) : focusOn(ids, model, isJson, built.problems);
  };
  const send = (): void => {
    setAsked("send");
    const { value, problems: wrong } = messageOf(model, entered);
    const all = [...(isActive ? [] : built.problems), ...wrong];
    if (all.some((each) => each.blocks)) {
      return focusOn(ids, model, isJson, all);
    }
    if (!isActive) {
      session.start(built.request!);
    }
    void session.send(value);
  };
  return (
    <form
      class="try-request"
      aria-label="Request"
      noValidate
      onKeyDown={(event) => isEnter(event) && (isActive ? canSend && send() : start())}
      // No button submits the form: one that changes while it is pressed would do both.
      onSubmit={(event) => event.preventDefault()}
    >
      <Surfaces ids={ids} model={model} chosen={surface} onChange={(next) => onChange({ ...entered, surface: next })} />
      <Parameters ids={ids} model={model} inputs={inputs} problems={shown} onChange={change} />
      <Message ids={ids} model={model} entered={entered} problems={shown} onChange={onChange} />
      <details>
        <summary>Options{counted(setOptions(definition, surface, inputs.options))}</summary>
        <OptionsView
          definition={definition}
          surface={surface}
          options={inputs.options}
          ids={ids}
          problems={shown}
          onChange={(options) => change({ options })}
        />
      </details>
      <RefusalView refusal={refusal} others={others} hasShown={shown.size > 0} />
      <p class="try-actions">
        {isActive ? (
          <button type="button" class="try-stop" onClick={() => session.stop()}>
            Stop
          </button>
        ) : (
          <button type="button" onClick={start}>
            {startWord(model)}
          </button>
        )}
        {canSend && (isActive || definition.kind === "topic") && (
          <button type="button" class={isActive ? "" : "try-plain"} onClick={send}>
            {sendWord(model)}
          </button>
        )}
      </p>
    </form>
  );
}

/** Returns the problems that are shown: none, before anything was asked for. */
function problemsOf(model: Model, entered: Entered, built: Built, asked: Asked): readonly Problem[] {
  if (asked === "nothing") {
    return [];
  }
  return asked === "send" ? [...built.problems, ...messageOf(model, entered).problems] : built.problems;
}

/** Returns true for the key that starts or sends: Enter, within several lines with Ctrl. */
function isEnter(event: KeyboardEvent): boolean {
  const { target, key, ctrlKey, metaKey } = event;
  const isLine = target instanceof HTMLInputElement && target.type === "text";
  const isArea = target instanceof HTMLTextAreaElement && (ctrlKey || metaKey);
  return key === "Enter" && (isLine || isArea);
}

function counted(options: number): string {
  return options > 0 ? ` (${options} set)` : "";
}

interface SurfacesProps {
  readonly ids: string;
  readonly model: Model;
  readonly chosen: Request["surface"];
  readonly onChange: (surface: Request["surface"]) => void;
}

function Surfaces({ ids, model, chosen, onChange }: SurfacesProps) {
  return (
    <fieldset class="try-surfaces">
      <legend>Surface</legend>
      {model.surfaces.map((each) => (
        <label key={each}>
          <input type="radio" name={`${ids}-surface`} checked={each === chosen} onChange={() => onChange(each)} />
          <span>{SURFACES[each]}</span>
        </label>
      ))}
    </fieldset>
  );
}

interface ParametersProps {
  readonly ids: string;
  readonly model: Model;
  readonly inputs: Inputs;
  readonly problems: Shown;
  readonly onChange: (inputs: Partial<Inputs>) => void;
}

function Parameters({ ids, model, inputs, problems, onChange }: ParametersProps) {
  const { parameters } = model.form;
  const set = (name: string, draft: Draft): void => onChange({ parameters: { ...inputs.parameters, [name]: draft } });
  if (parameters.length === 0) {
    return null;
  }
  return (
    <section aria-labelledby={`${ids}-parameters`}>
      <h2 id={`${ids}-parameters`}>Parameters</h2>
      {parameters.map(({ name, in: place, field }) => (
        <FieldView
          key={name}
          field={field}
          draft={inputs.parameters[name]!}
          at={[place, name]}
          ids={ids}
          problems={problems}
          onChange={(draft) => set(name, draft)}
        />
      ))}
    </section>
  );
}

interface MessageProps {
  readonly ids: string;
  readonly model: Model;
  readonly entered: Entered;
  readonly problems: Shown;
  readonly onChange: (entered: Entered) => void;
}

/** The message, in fields or as JSON. */
function Message({ ids, model, entered, problems, onChange }: MessageProps) {
  const [isUnreadable, setUnreadable] = useState(false);
  const { inputs, isJson } = entered;
  const field = messageField(model, isJson);
  if (field === undefined) {
    return null;
  }
  if (!takesAny(model.definition, entered.surface)) {
    return <p class="try-hint">To send messages, choose a WebSocket or the multiplexed connection.</p>;
  }
  const turn = (): void => {
    const next = turned(model, entered);
    setUnreadable(next === undefined);
    if (next !== undefined) {
      onChange(next);
    }
  };
  const set = (message: Draft): void => {
    setUnreadable(false);
    onChange({ ...entered, inputs: { ...inputs, message } });
  };
  return (
    <section aria-labelledby={`${ids}-message`}>
      <div class="try-head">
        <h2 id={`${ids}-message`}>Message</h2>
        {model.json && (
          <button type="button" class="try-small" aria-pressed={isJson} onClick={turn}>
            Edit as JSON
          </button>
        )}
      </div>
      <FieldView
        key={String(isJson)}
        field={field}
        draft={inputs.message}
        at={["body"]}
        ids={ids}
        problems={isUnreadable ? unreadable(problems) : problems}
        onChange={set}
      />
    </section>
  );
}

function unreadable(shown: Shown): Shown {
  return new Map([...shown, ["body", ["Not JSON: correct it before you return to the form"]]]);
}

function startWord({ definition }: Model): string {
  return isWatched(definition) ? "Watch" : definition.kind === "call" ? "Call" : "Run";
}

function sendWord({ definition }: Model): string {
  return definition.kind === "topic" ? "Publish" : definition.kind === "call" ? "Call" : "Send";
}

interface RefusalProps {
  readonly refusal: Refusal | undefined;
  readonly others: readonly string[];
  readonly hasShown: boolean;
}

/** The reason of a refusal, and the problems that no field of the form shows. */
function RefusalView({ refusal, others, hasShown }: RefusalProps) {
  return (
    <div role="alert">
      {(refusal || others.length > 0) && (
        <div class="try-refusal">
          {refusal && (
            <p>
              {refusal.status !== undefined && <b>{refusal.status} </b>}
              {ended(refusal.message)}
              {hasShown && refusal.inputs.length > others.length && " See the marked fields."}
            </p>
          )}
          {others.length > 0 && (
            <ul>
              {others.map((each) => (
                <li key={each}>{each}</li>
              ))}
            </ul>
          )}
        </div>
      )}
    </div>
  );
}

/** Returns a sentence with a full stop. */
function ended(text: string): string {
  return /[.!?:}\]>]$/.test(text) ? text : `${text}.`;
}

/** Moves the focus to the first field that blocks the request. */
function focusOn(ids: string, model: Model, isJson: boolean, problems: readonly Problem[]): void {
  const blocking = problems.filter((each) => each.blocks);
  const [first] = placed(model.form, !isJson, blocking, undefined).shown.keys();
  if (first !== undefined) {
    const input = document.getElementById(idOf(ids, first.split("/")));
    input?.closest("details")?.setAttribute("open", "");
    input?.focus();
  }
}

// The panel that connects to a definition and shows what it sends.

import "./try.css";
import { useEffect, useId, useMemo, useState } from "preact/hooks";
import type { AsyncApi, Definition } from "../document.js";
import type { Problem } from "./check.js";
import { Copying } from "./copying.js";
import { FieldView, idOf } from "./field.js";
import { type Draft, valueOf } from "./fields.js";
import { useSession } from "./hooks.js";
import { type Entered, messageField, type Model, modelOf, nothingEntered, requestOf, turned } from "./inputs.js";
import { OptionsView, setOptions } from "./options.js";
import { placed, type Shown } from "./problems.js";
import type { Refusal } from "./refusal.js";
import { type Built, isWatched, SURFACES, takesMore } from "./request.js";
import { Results } from "./results.js";
import { Session } from "./session.js";

interface Props {
  readonly definition: Definition;
  readonly document: AsyncApi;
}

/** The panel of a definition. Another definition gets a panel of its own. */
export function TryIt({ definition, document }: Props) {
  return <Panel key={definition.id} definition={definition} document={document} />;
}

function Panel({ definition, document }: Props) {
  const model = useMemo(() => modelOf(definition, document, globalThis.document.baseURI), [definition, document]);
  const [session] = useState(() => new Session());
  const [entered, setEntered] = useState(() => nothingEntered(model));
  useEffect(() => () => session.dispose(), [session]);
  const built = useMemo(() => requestOf(model, entered), [model, entered]);
  if (model.surfaces.length === 0) {
    return <p class="try-hint">This page cannot connect to the definition: it has no surface for browsers.</p>;
  }
  return (
    <div class="try">
      <div class="try-side">
        <RequestForm model={model} session={session} entered={entered} built={built} onChange={setEntered} />
        <Copying request={built.request} />
      </div>
      <Results definition={definition} columns={model.columns} session={session} />
    </div>
  );
}

interface FormProps {
  readonly model: Model;
  readonly session: Session;
  readonly entered: Entered;
  readonly built: Built;
  readonly onChange: (entered: Entered) => void;
}

/** What was asked for: problems are shown from then on. */
type Asked = "nothing" | "start" | "send";

function RequestForm({ model, session, entered, built, onChange }: FormProps) {
  const ids = useId();
  const [asked, setAsked] = useState<Asked>("nothing");
  const [unread, setUnread] = useState(false);
  const isActive = useSession(session, (each) => each.isActive);
  const refusal = useSession(session, (each) => each.refusal);
  const { definition, form } = model;
  const { surface, inputs, isJson } = entered;
  const message = messageField(model, isJson);
  const inMessage = asked === "send" ? messageProblems(model, entered) : [];
  const { shown, others } = placed(form, !isJson, asked === "nothing" ? [] : [...built.problems, ...inMessage], refusal);
  const change = (next: Partial<Entered>): void => onChange({ ...entered, ...next });
  const setParameter = (name: string, draft: Draft): void => change({ inputs: { ...inputs, parameters: { ...inputs.parameters, [name]: draft } } });
  const canSend = takesMore(definition, surface);

  const start = (): void => {
    setAsked("start");
    built.request ? session.start(built.request) : focusOn(ids, form, isJson, built.problems);
  };
  const send = (): void => {
    setAsked("send");
    const problems = [...(isActive ? [] : built.problems), ...messageProblems(model, entered)];
    if (problems.some((each) => each.blocks)) {
      return focusOn(ids, form, isJson, problems);
    }
    if (!isActive) {
      session.start(built.request!);
    }
    void session.send(messageOf(model, entered));
  };
  const turn = (): void => {
    const next = turned(model, entered);
    setUnread(next === undefined);
    if (next !== undefined) {
      onChange(next);
    }
  };
  const options = setOptions(definition, surface, inputs.options);
  // Enter sends where messages can be sent, and otherwise starts; within several lines, with Ctrl. No button submits the form: a button that changes while
  // it is pressed would do both.
  const pressed = (event: KeyboardEvent): void => {
    const { target } = event;
    const isLine = target instanceof HTMLInputElement && target.type === "text";
    const isArea = target instanceof HTMLTextAreaElement && (event.ctrlKey || event.metaKey);
    if (event.key === "Enter" && (isLine || isArea)) {
      event.preventDefault();
      isActive ? canSend && send() : start();
    }
  };
  return (
    <form class="try-request" aria-label="Request" noValidate onKeyDown={pressed} onSubmit={(event) => event.preventDefault()}>
      <fieldset class="try-surfaces">
        <legend>Surface</legend>
        {model.surfaces.map((each) => (
          <label key={each}>
            <input type="radio" name={`${ids}-surface`} checked={each === surface} onChange={() => change({ surface: each })} />
            <span>{SURFACES[each]}</span>
          </label>
        ))}
      </fieldset>
      {form.parameters.length > 0 && (
        <section aria-labelledby={`${ids}-parameters`}>
          <h2 id={`${ids}-parameters`}>Parameters</h2>
          {form.parameters.map(({ name, in: place, field }) => (
            <FieldView key={name} field={field} draft={inputs.parameters[name]!} at={[place, name]} ids={ids} problems={shown} onChange={(draft) => setParameter(name, draft)} />
          ))}
        </section>
      )}
      {message !== undefined && (
        <section aria-labelledby={`${ids}-message`}>
          <div class="try-head">
            <h2 id={`${ids}-message`}>Message</h2>
            {model.json && <button type="button" class="try-small" aria-pressed={isJson} onClick={turn}>Edit as JSON</button>}
          </div>
          <FieldView key={String(isJson)} field={message} draft={inputs.message} at={["body"]} ids={ids} problems={unread ? unreadable(shown) : shown} onChange={(draft) => { setUnread(false); change({ inputs: { ...inputs, message: draft } }); }} />
        </section>
      )}
      <details>
        <summary>Options{options > 0 && ` (${options} set)`}</summary>
        <OptionsView definition={definition} surface={surface} options={inputs.options} ids={ids} problems={shown} onChange={(next) => change({ inputs: { ...inputs, options: next } })} />
      </details>
      <RefusalView refusal={refusal} others={others} hasShown={shown.size > 0} />
      <p class="try-actions">
        {isActive ? <button type="button" class="try-stop" onClick={() => session.stop()}>Stop</button> : <button type="button" onClick={start}>{startWord(model)}</button>}
        {canSend && (isActive || definition.kind === "topic") && <button type="button" class={isActive ? "" : "try-plain"} onClick={send}>{sendWord(model)}</button>}
      </p>
    </form>
  );
}

function startWord({ definition }: Model): string {
  return isWatched(definition) ? "Watch" : definition.kind === "call" ? "Call" : "Run";
}

function sendWord({ definition }: Model): string {
  return definition.kind === "topic" ? "Publish" : definition.kind === "call" ? "Call" : "Send";
}

/** The reason of a refusal, and the problems that no field of the form shows. */
function RefusalView({ refusal, others, hasShown }: { refusal: Refusal | undefined; others: readonly string[]; hasShown: boolean }) {
  return (
    <div role="alert">
      {(refusal || others.length > 0) && (
        <div class="try-refusal">
          {refusal && <p>{refusal.status !== undefined && <b>{refusal.status} </b>}{ended(refusal.message)}{hasShown && refusal.inputs.length > others.length && " See the marked fields."}</p>}
          {others.length > 0 && <ul>{others.map((each) => <li key={each}>{each}</li>)}</ul>}
        </div>
      )}
    </div>
  );
}

/** Returns a sentence with a full stop. */
function ended(text: string): string {
  return /[.!?:}\]>]$/.test(text) ? text : `${text}.`;
}

function unreadable(shown: Shown): Shown {
  return new Map([...shown, ["body", ["Not JSON: correct it before you return to the form"]]]);
}

/** Returns the problems of the message alone. */
function messageProblems(model: Model, { inputs, isJson }: Entered): readonly Problem[] {
  const field = messageField(model, isJson);
  return field === undefined ? [] : valueOf(field, inputs.message, model.schemas, ["body"]).problems;
}

function messageOf(model: Model, { inputs, isJson }: Entered): unknown {
  const field = messageField(model, isJson);
  return field === undefined ? undefined : valueOf(field, inputs.message, model.schemas, ["body"]).value;
}

/** Moves the focus to the first field that blocks the request. */
function focusOn(ids: string, form: Model["form"], isJson: boolean, problems: readonly Problem[]): void {
  const blocking = problems.filter((each) => each.blocks);
  const [first] = placed(form, !isJson, blocking, undefined).shown.keys();
  if (first !== undefined) {
    const input = document.getElementById(idOf(ids, first.split("/")));
    input?.closest("details")?.setAttribute("open", "");
    input?.focus();
  }
}

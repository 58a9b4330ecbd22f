// The fields of a form.

import type { ComponentChildren } from "preact";
import type { Place } from "./check.js";
import {
  ABSENT,
  type ChoiceField,
  type Draft,
  draftOf,
  emptyDraft,
  type Field,
  type JsonField,
  type ListField,
  NULL,
  type ObjectField,
  pretty,
} from "./fields.js";
import { keyOf, type Shown } from "./problems.js";

interface Props<F extends Field = Field> {
  readonly field: F;
  readonly draft: Draft;
  readonly at: Place;
  /** Beginning of all ids of the form. */
  readonly ids: string;
  readonly problems: Shown;
  readonly onChange: (draft: Draft) => void;
}

/** One field, with its label, its hint and its problems. */
export function FieldView(props: Props): ComponentChildren {
  const { field } = props;
  switch (field.kind) {
    case "object":
      return <ObjectView {...props} field={field} />;
    case "list":
      return <ListView {...props} field={field} />;
    default:
      return <Single {...props} />;
  }
}

/** Returns the id of the input for a place. */
export function idOf(ids: string, at: Place): string {
  return `${ids}-${encodeURIComponent(keyOf(at))}`;
}

function Single({ field, draft, at, ids, problems, onChange }: Props) {
  const id = idOf(ids, at);
  const wrong = problems.get(keyOf(at)) ?? [];
  const isNull = draft.is === "null";
  const needsNull = field.isNullable && field.kind !== "choice";
  const described = [hasHint(field) && `${id}-hint`, wrong.length > 0 && `${id}-problems`].filter(Boolean).join(" ");
  const shared = {
    id,
    "aria-required": field.isRequired,
    "aria-invalid": wrong.length > 0,
    "aria-describedby": described || undefined,
  } as const;
  const text = draft.is === "text" ? draft.text : "";
  const enter = (entered: string): void => onChange({ is: "text", text: entered });
  const input = {
    ...shared,
    value: text,
    disabled: isNull,
    placeholder: isNull ? "null" : field.byDefault !== undefined ? `default: ${shortened(field.byDefault)}` : "",
    spellcheck: false,
    autocomplete: "off",
    autocapitalize: "off",
    onInput: ({ currentTarget }: { currentTarget: HTMLInputElement | HTMLTextAreaElement }) =>
      enter(currentTarget.value),
  } as const;
  const isArea =
    field.kind === "json" || field.kind === "bytes" || (field.kind === "text" && (field.isLong || text.includes("\n")));
  return (
    <div class="try-field" data-kind={field.kind}>
      <div class="try-label">
        <label for={id}>
          <Name field={field} />
        </label>
        {needsNull && (
          <label class="try-null">
            <input
              type="checkbox"
              checked={isNull}
              onChange={() => onChange(isNull ? { is: "text", text: "" } : NULL)}
            />
            <span>
              <span class="hidden">{field.label} is </span>null
            </span>
          </label>
        )}
      </div>
      {field.kind === "choice" ? (
        <ChoiceInput field={field} draft={draft} onChange={onChange} shared={shared} />
      ) : isArea ? (
        <textarea {...input} rows={Math.min(Math.max(text.split("\n").length, field.kind === "text" ? 2 : 3), 14)} />
      ) : (
        <input
          {...input}
          type="text"
          inputMode={
            field.kind === "number"
              ? field.isInteger && (field.schema.minimum ?? -1) >= 0
                ? "numeric"
                : "text"
              : undefined
          }
        />
      )}
      {field.kind === "json" && field.templates.length > 1 && <Templates field={field} id={id} onChange={enter} />}
      <Hint field={field} id={`${id}-hint`} />
      <Problems id={`${id}-problems`} texts={wrong} />
    </div>
  );
}

function Name({ field }: { field: Field }) {
  return (
    <>
      {field.label}
      {field.isRequired && (
        <>
          <span class="try-required" aria-hidden="true">
            {" "}
            *
          </span>
          <span class="hidden"> (required)</span>
        </>
      )}
    </>
  );
}

function hasHint({ hint, description, kind }: Field): boolean {
  return hint !== "" || description !== "" || kind === "bytes";
}

function Hint({ field, id }: { field: Field; id: string }) {
  const { hint, description, kind } = field;
  if (!hasHint(field)) {
    return null;
  }
  const type = kind === "bytes" ? "Text, or hexadecimal digits after 0x" : kind === "json" ? `JSON: ${hint}` : hint;
  return (
    <p class="try-hint" id={id}>
      {type}
      {type && description ? ". " : ""}
      {description}
    </p>
  );
}

/** The problems of a field: they are read with it. */
export function Problems({ id, texts }: { id: string; texts: readonly string[] }) {
  return texts.length === 0 ? null : (
    <p class="try-problem" id={id}>
      {texts.join(". ")}
    </p>
  );
}

interface ChoiceInputProps {
  readonly field: ChoiceField;
  readonly draft: Draft;
  readonly onChange: (draft: Draft) => void;
  readonly shared: { readonly id: string };
}

function ChoiceInput({ field, draft, onChange, shared }: ChoiceInputProps) {
  const value = draft.is === "choice" ? String(draft.index) : draft.is === "null" ? "null" : "";
  const change = (chosen: string): void =>
    onChange(chosen === "" ? ABSENT : chosen === "null" ? NULL : { is: "choice", index: Number(chosen) });
  return (
    <select {...shared} value={value} onChange={({ currentTarget }) => change(currentTarget.value)}>
      {!field.isRequired && (
        <option value="">
          {field.byDefault === undefined ? "(left out)" : `default: ${shortened(field.byDefault)}`}
        </option>
      )}
      {field.choices.map((each, index) => (
        <option key={index} value={index}>
          {typeof each === "string" ? each : JSON.stringify(each)}
        </option>
      ))}
      {field.isNullable && <option value="null">null</option>}
    </select>
  );
}

/** Values to start from, for a union. */
function Templates({ field, id, onChange }: { field: JsonField; id: string; onChange: (text: string) => void }) {
  return (
    <p class="try-templates">
      <span id={`${id}-templates`}>Start from</span>
      {field.templates.map(([name, value], index) => (
        <button
          key={index}
          type="button"
          class="try-small"
          aria-describedby={`${id}-templates`}
          onClick={() => onChange(pretty(value))}
        >
          {name}
        </button>
      ))}
    </p>
  );
}

function ObjectView({ field, draft, at, ids, problems, onChange }: Props<ObjectField>) {
  const entries = draft.is === "object" ? draft.entries : undefined;
  const change = (name: string, each: Draft): void => onChange({ is: "object", entries: { ...entries, [name]: each } });
  return (
    <Group field={field} at={at} ids={ids} problems={problems} draft={draft} onChange={onChange}>
      {entries &&
        field.fields.map(([name, each]) => (
          <FieldView
            key={name}
            field={each}
            draft={entries[name] ?? ABSENT}
            at={[...at, name]}
            ids={ids}
            problems={problems}
            onChange={(next) => change(name, next)}
          />
        ))}
      {entries && field.fields.length === 0 && <p class="try-hint">This object has no fields.</p>}
    </Group>
  );
}

function ListView({ field, draft, at, ids, problems, onChange }: Props<ListField>) {
  const items = draft.is === "list" ? draft.items : [];
  const set = (next: readonly Draft[]): void =>
    onChange(next.length === 0 && !field.isRequired ? ABSENT : { is: "list", items: next });
  const change = (index: number, each: Draft): void => set(items.map((item, other) => (other === index ? each : item)));
  return (
    <Group field={field} at={at} ids={ids} problems={problems} draft={draft} onChange={onChange}>
      {draft.is !== "null" && (
        <>
          {items.map((each, index) => (
            <div class="try-item" key={index}>
              <FieldView
                field={{ ...field.item, label: `item ${index + 1}` }}
                draft={each}
                at={[...at, index]}
                ids={ids}
                problems={problems}
                onChange={(next) => change(index, next)}
              />
              <button type="button" class="try-small" onClick={() => set(items.filter((_, other) => other !== index))}>
                Remove
                <span class="hidden">
                  {" "}
                  item {index + 1} of {field.label}
                </span>
              </button>
            </div>
          ))}
          <button
            type="button"
            class="try-small"
            id={idOf(ids, at)}
            onClick={() => set([...items, emptyDraft(field.item)])}
          >
            Add item<span class="hidden"> to {field.label}</span>
          </button>
        </>
      )}
    </Group>
  );
}

/** A group of fields, which may be left out or null. */
function Group({
  field,
  draft,
  at,
  ids,
  problems,
  onChange,
  children,
}: Props<ObjectField | ListField> & { readonly children: ComponentChildren }) {
  const id = idOf(ids, at);
  const wrong = problems.get(keyOf(at)) ?? [];
  const isTop = at.length === 1;
  const described = [!isTop && hasHint(field) && `${id}-hint`, wrong.length > 0 && `${id}-problems`]
    .filter(Boolean)
    .join(" ");
  const choices: readonly (readonly [label: string, is: Draft["is"], draft: Draft])[] = [
    ...(field.isRequired ? [] : [["left out", "absent", ABSENT] as const]),
    ...(field.isNullable ? [["null", "null", NULL] as const] : []),
    [
      "given",
      field.kind,
      field.kind === "list" ? { is: "list", items: [] } : draftOf({ ...field, isRequired: true }, {}),
    ],
  ];
  return (
    <fieldset class={isTop ? "try-group try-top" : "try-group"} aria-describedby={described || undefined}>
      <legend class={isTop ? "hidden" : undefined}>
        <Name field={field} />
      </legend>
      {field.kind === "object" && choices.length > 1 && (
        <select
          class="try-given"
          id={id}
          aria-label={`${field.label} is`}
          value={draft.is}
          onChange={({ currentTarget }) => onChange(choices.find(([, is]) => is === currentTarget.value)![2])}
        >
          {choices.map(([label, is]) => (
            <option key={is} value={is}>
              {label}
            </option>
          ))}
        </select>
      )}
      {field.kind === "list" && field.isNullable && (
        <label class="try-null">
          <input
            type="checkbox"
            checked={draft.is === "null"}
            onChange={() =>
              onChange(draft.is === "null" ? (field.isRequired ? { is: "list", items: [] } : ABSENT) : NULL)
            }
          />
          <span>
            <span class="hidden">{field.label} is </span>null
          </span>
        </label>
      )}
      {!isTop && <Hint field={field} id={`${id}-hint`} />}
      {children}
      <Problems id={`${id}-problems`} texts={wrong} />
    </fieldset>
  );
}

function shortened(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

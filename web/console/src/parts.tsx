// Small parts that the views share.

import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import type { Link } from "./watch.js";
import { memo } from "./memo.js";

interface HeadingProps {
  /** The title of the window. */
  title: string;
  children: ComponentChildren;
}

/** The heading of a view. It gets the focus when the view opens, except for the first one, so that it is read. */
export function Heading({ title, children }: HeadingProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · Wirespeed console`;
    if (hasOpened) {
      heading.current?.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
    hasOpened = true;
  }, [title]);
  return (
    <h1 ref={heading} tabIndex={-1}>
      {children}
    </h1>
  );
}

let hasOpened = false;

export interface FigureProps {
  label: string;
  value: string;
  /** What the figure is compared with, or its unit. */
  note?: string;
  isBad?: boolean;
}

/** One figure of a list of figures. */
export const Figure = memo(function Figure({ label, value, note, isBad }: FigureProps) {
  return (
    <div data-mood={isBad ? "bad" : undefined}>
      <dt>{label}</dt>
      <dd>
        {value}
        {note && <small> {note}</small>}
      </dd>
    </div>
  );
});

interface TableProps {
  caption: string;
  /** True if the caption is only for screen readers, because a heading says the same. */
  isCaptionHidden?: boolean;
  head: ComponentChildren;
  children: ComponentChildren;
  class?: string;
}

/** A table that scrolls within its own box where it is wider than the page. */
export function Table({ caption, isCaptionHidden = true, head, children, class: name = "" }: TableProps) {
  const id = useId();
  return (
    // A box that scrolls can be focused, so that the arrow keys scroll it.
    <div class="box" role="region" aria-labelledby={id} tabIndex={0}>
      <table class={name}>
        <caption id={id}>
          <span class={isCaptionHidden ? "hidden" : undefined}>{caption}</span>
        </caption>
        <thead>
          <tr>{head}</tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

interface SearchProps {
  label: string;
  value: string;
  onChange: (text: string) => void;
}

/** A search field. */
export function Search({ label, value, onChange }: SearchProps) {
  const id = useId();
  return (
    <div class="search">
      <label for={id} class="hidden">{label}</label>
      <input
        id={id}
        type="search"
        placeholder={label}
        autocomplete="off"
        spellcheck={false}
        value={value}
        onInput={({ currentTarget }) => onChange(currentTarget.value)}
      />
    </div>
  );
}

interface ChoiceProps<T extends string> {
  legend: string;
  options: readonly (readonly [value: T, label: string])[];
  value: T;
  onChange: (value: T) => void;
}

/** A choice of one of a few. */
export function Choice<T extends string>({ legend, options, value, onChange }: ChoiceProps<T>) {
  const name = useId();
  return (
    <fieldset class="choice">
      <legend class="hidden">{legend}</legend>
      {options.map(([each, label]) => (
        <label key={each}>
          <input type="radio" name={name} value={each} checked={each === value} onChange={() => onChange(each)} />
          <span>{label}</span>
        </label>
      ))}
    </fieldset>
  );
}

/** A word in a frame, as a definition's kind and a state. */
export const Badge = memo(function Badge({ mood, word }: { mood: string; word: string }) {
  return (
    <span class="badge" data-mood={mood}>
      {word}
    </span>
  );
});

/** The mood of a state's badge. */
export function moodOf(state: string): string {
  if (/^(ok|live|running|active|watched|up|connected|ready|healthy|local)$/i.test(state)) {
    return "good";
  }
  return /^(failing|failed|stale|down|broken|lost|error|deaf|refused)/i.test(state) ? "bad" : "plain";
}

/** Says why a view has no data, if it has none. */
export function Waiting({ link, reason, children }: { link: Link; reason: string; children?: ComponentChildren }) {
  if (link === "refused") {
    return <p class="notice">{reason}</p>;
  }
  return <p class="quiet">{link === "lost" ? "The connection is lost. Reconnecting." : (children ?? "Loading.")}</p>;
}

/** The text of a docstring: paragraphs, with code between backticks. */
export const Prose = memo(function Prose({ text }: { text: string }) {
  const paragraphs = text.trim().split(/\n\s*\n/).filter(Boolean);
  return (
    <div class="prose">
      {paragraphs.map((each, index) => (
        <p key={index}>
          <Marked text={each} />
        </p>
      ))}
    </div>
  );
});

/** One line of text with code between backticks. */
export function Marked({ text }: { text: string }) {
  return <>{text.split(/`{1,2}([^`]+)`{1,2}/).map((part, index) => (index % 2 ? <code key={index}>{part}</code> : part))}</>;
}

/** A path, with its parameters marked. */
export const Path = memo(function Path({ text }: { text: string }) {
  return (
    <code class="path">
      {text.split(/(\{[^}]*\})/).map((part, index) => (index % 2 ? <var key={index}>{part}</var> : breakable(part)))}
    </code>
  );
});

/** Allows line breaks after slashes. */
function breakable(text: string): ComponentChildren[] {
  return text.split(/(?<=.\/)/).flatMap((part, index) => (index ? [<wbr key={index} />, part] : [part]));
}

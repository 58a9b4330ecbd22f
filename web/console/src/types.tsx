// The types of a definition, read from its schemas.

import { Fragment, type ComponentChildren } from "preact";
import { nameOf, resolve, type AsyncApi, type Definition, type Schema } from "./document.js";
import { Marked, Table } from "./parts.js";
import { fieldsOf, limitsOf, namesIn, typeOf } from "./schema.js";

interface Props {
  definition: Definition;
  document: AsyncApi;
}

export function Types({ definition, document }: Props) {
  const { parameters, value, message, row, errors = {} } = definition;
  const schemas = [message, value, row, ...parameters.map(({ schema }) => schema)];
  const all = namesIn({ anyOf: schemas.filter((each) => !!each) }, document);
  // The fields of the message and of the value are shown with them, all others below.
  const shown = new Set([message, value].map((each) => each && nameOf(each)));
  return (
    <div class="types">
      {parameters.length > 0 && <Parameters definition={definition} />}
      {message && <Body title="Message" note="What a client sends" schema={message} document={document} />}
      <Body title="Value" note={noteOf(definition)} schema={value} document={document} />
      {row && <Body title="Name of a row" note={`The field ${definition.by ?? ""} of its value`} schema={row} document={document} />}
      {all.filter((name) => !shown.has(name)).map((name) => <Named key={name} name={name} document={document} />)}
      {Object.keys(errors).length > 0 && <Errors errors={errors} />}
      <Options definition={definition} />
      <details class="raw">
        <summary>JSON Schema</summary>
        <pre tabIndex={0}><code>{JSON.stringify({ message, value, schemas: pick(all, document) }, null, 2)}</code></pre>
      </details>
    </div>
  );
}

function noteOf({ kind, encoding, by }: Definition): string {
  const form = encoding === "json" ? "" : `, as ${encoding}`;
  if (kind === "call") {
    return `What the call returns${form}`;
  }
  return by ? `One row of the table${form}; a GET answers a list of all rows` : `What clients receive${form}`;
}

function pick(names: string[], { components }: AsyncApi): Record<string, Schema | undefined> {
  return Object.fromEntries(names.map((name) => [name, components?.schemas?.[name]]));
}

function Parameters({ definition }: { definition: Definition }) {
  return (
    <section class="block" aria-labelledby="parameters">
      <h2 id="parameters">Parameters</h2>
      <Fields
        caption="List of parameters"
        fields={definition.parameters.map(({ name, schema, required, default: fallback, in: place, description }) => ({
          name,
          schema: { ...schema, ...(description && { description }), ...(fallback !== undefined && { default: fallback }) },
          isRequired: required,
          note: place,
        }))}
      />
    </section>
  );
}

interface BodyProps {
  title: string;
  note: string;
  schema: Schema;
  document: AsyncApi;
}

function Body({ title, note, schema, document }: BodyProps) {
  const id = `body-${title.replace(/\W/g, "-").toLowerCase()}`;
  const name = nameOf(schema);
  const whole = resolve(schema, document);
  return (
    <section class="block" aria-labelledby={id}>
      <h2 id={id}>{title}{name && <small id={idOf(name)} tabIndex={-1}><code>{name}</code></small>}</h2>
      <p class="quiet">{note}{whole.description && name && <>. <Marked text={whole.description} /></>}</p>
      <Shape caption={`Fields of the ${title.toLowerCase()}`} schema={whole} />
    </section>
  );
}

/** The fields of an object, or the expression of any other type. */
function Shape({ caption, schema }: { caption: string; schema: Schema }) {
  const fields = fieldsOf(schema);
  if (fields?.length) {
    return <Fields caption={caption} fields={fields} />;
  }
  return <p class="type"><Type schema={schema} /><small> {limitsOf(schema).join(", ")}</small></p>;
}

/** A type that has a name of its own, which other types link to. */
function Named({ name, document }: { name: string; document: AsyncApi }) {
  const schema = resolve({ $ref: `#/components/schemas/${name}` }, document);
  return (
    <section class="block" aria-labelledby={idOf(name)}>
      <h3 id={idOf(name)} tabIndex={-1}><code>{name}</code></h3>
      {schema.description && <p class="quiet"><Marked text={schema.description} /></p>}
      <Shape caption={`Fields of ${name}`} schema={schema} />
    </section>
  );
}

function idOf(name: string): string {
  return `type:${name}`;
}

/** A type as people read it. A name leads to its own fields, which are on the same page. */
export function Type({ schema }: { schema: Schema }) {
  const pieces = typeOf(schema).map((piece, index): ComponentChildren => {
    if (typeof piece === "string") {
      return <Fragment key={index}>{piece}</Fragment>;
    }
    const show = (): void => {
      const heading = document.getElementById(idOf(piece.name));
      heading?.scrollIntoView({ block: "start" });
      heading?.focus({ preventScroll: true });
    };
    // The fragment of the address names the view, so a link within the page has to be a button.
    return <button key={index} type="button" class="link" onClick={show}>{piece.name}</button>;
  });
  return <code>{pieces}</code>;
}

interface FieldsProps {
  caption: string;
  fields: { name: string; schema: Schema; isRequired: boolean; note?: string }[];
}

function Fields({ caption, fields }: FieldsProps) {
  const head = (
    <>
      <th scope="col">Name</th>
      <th scope="col">Type</th>
      <th scope="col">Notes</th>
    </>
  );
  return (
    <Table caption={caption} head={head} class="fields">
      {fields.map(({ name, schema, isRequired, note }) => (
        <tr key={name}>
          <th scope="row">
            <code>{name}</code>
            <small>{[note, isRequired ? "required" : "optional"].filter(Boolean).join(", ")}</small>
          </th>
          <td><Type schema={schema} /></td>
          <td>
            {schema.description && <Marked text={schema.description} />}
            <small>{notesOf(schema).join(", ")}</small>
          </td>
        </tr>
      ))}
    </Table>
  );
}

function notesOf(schema: Schema): string[] {
  return [
    ...limitsOf(schema),
    ...(schema.default === undefined ? [] : [`default ${JSON.stringify(schema.default)}`]),
    ...(schema.deprecated ? ["deprecated"] : []),
  ];
}

function Errors({ errors }: { errors: NonNullable<Definition["errors"]> }) {
  const head = (
    <>
      <th scope="col">Code</th>
      <th scope="col">Description</th>
      <th scope="col">Detail</th>
    </>
  );
  return (
    <section class="block" aria-labelledby="errors">
      <h2 id="errors">Errors</h2>
      <Table caption="List of errors" head={head} class="fields">
        {Object.entries(errors).map(([code, { description, schema }]) => (
          <tr key={code}>
            <th scope="row"><code>{code}</code></th>
            <td>{description}</td>
            <td>{schema ? <Type schema={schema} /> : "text"}</td>
          </tr>
        ))}
      </Table>
    </section>
  );
}

/** Entries of a definition that have a place of their own on the page. */
const ELSEWHERE = new Set([
  ..."id title summary description tags deprecated kind path parameters value message row errors".split(" "),
]);

/** Names of options, and units of those that are numbers. */
const NAMES: Record<string, readonly [name: string, unit?: string]> = {
  channel: ["Name on the multiplexed connection"],
  surfaces: ["Surfaces"],
  encoding: ["Encoding of values"],
  messageEncoding: ["Encoding of messages"],
  intake: ["Messages"],
  keep: ["Kept in the log"],
  by: ["Rows by"],
  orderBy: ["Order of rows"],
  maxRate: ["Most values per watcher", "per second"],
  replay: ["Replayed to new watchers", "entries"],
  onLag: ["A watcher that falls behind"],
  run: ["Producer runs"],
  retain: ["Kept without watchers", "seconds"],
  linger: ["Runs on without watchers", "seconds"],
  afterEnd: ["After the generator has ended"],
  overlap: ["A message during a run"],
  resume: ["Resumable for", "seconds"],
  recheck: ["Admission checked again after", "seconds"],
  security: ["Security"],
};

function Options({ definition }: { definition: Definition }) {
  const options = Object.entries(definition).filter(([name, value]) => !ELSEWHERE.has(name) && isSet(value));
  return (
    <section class="block" aria-labelledby="options">
      <h2 id="options">Options</h2>
      <dl class="options">
        {options.map(([name, value]) => (
          <div key={name}>
            <dt>{NAMES[name]?.[0] ?? wordsOf(name)}</dt>
            <dd>{optionOf(value)}{typeof value === "number" && NAMES[name]?.[1] && ` ${NAMES[name][1]}`}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

/** Returns false for what says nothing: options that are not set, and that a feed takes no messages. */
function isSet(value: unknown): boolean {
  return value !== null && value !== undefined && value !== false && value !== "nothing" && !(Array.isArray(value) && value.length === 0);
}

function wordsOf(name: string): string {
  const words = name.replace(/([A-Z])/g, " $1").toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function optionOf(value: unknown): ComponentChildren {
  if (Array.isArray(value)) {
    return <code>{value.map((each) => (typeof each === "string" ? each : JSON.stringify(each))).join(", ")}</code>;
  }
  if (typeof value === "object" && value !== null) {
    const [unit, amount] = Object.entries(value)[0] ?? ["", ""];
    return `${String(amount)} ${unit}`;
  }
  return value === true ? "yes" : <code>{String(value)}</code>;
}

// The state of a form: what was entered, and what it means.

import type { AsyncApi, Definition } from "../document.js";
import { draftOf, emptyDraft, type Field, type JsonField, type Outcome, parsed, pretty, valueOf } from "./fields.js";
import {
  addressesOf,
  build,
  type Built,
  type Form,
  formOf,
  type Inputs,
  NO_OPTIONS,
  type Request,
  schemasOf,
  surfacesOf,
} from "./request.js";
import { resolved, type Schemas, skeleton } from "./schema.js";

/** Everything that a form needs, made once for each definition. */
export interface Model {
  readonly definition: Definition;
  readonly form: Form;
  readonly schemas: Schemas;
  readonly surfaces: readonly Request["surface"][];
  /** The message as one JSON text; undefined if its form is no easier. */
  readonly json: JsonField | undefined;
  readonly addresses: { readonly root: string; readonly live: string };
  /** Names of the fields of a value. */
  readonly columns: readonly string[];
}

/** What was entered, and how. */
export interface Entered {
  readonly surface: Request["surface"];
  readonly inputs: Inputs;
  /** True if the message is entered as JSON. */
  readonly isJson: boolean;
}

export function modelOf(definition: Definition, document: AsyncApi, base: string): Model {
  const schemas = schemasOf(document);
  const form = formOf(definition, schemas);
  const { message } = form;
  const json = message?.kind === "object" || message?.kind === "list" ? jsonOf(message, schemas) : undefined;
  const columns = Object.keys(resolved(definition.value ?? {}, schemas).properties ?? {});
  return {
    definition,
    form,
    schemas,
    surfaces: surfacesOf(definition, form.carrier),
    json,
    addresses: addressesOf(document, base),
    columns,
  };
}

function jsonOf(field: Field, schemas: Schemas): JsonField {
  const { schema, label, description, hint, isRequired, isNullable, byDefault } = field;
  return {
    schema,
    label,
    description,
    hint,
    isRequired,
    isNullable,
    byDefault,
    kind: "json",
    templates: [["", skeleton(schema, schemas)]],
  };
}

/** Returns a form that nothing was entered into. */
export function nothingEntered({ form, surfaces }: Model): Entered {
  const parameters = Object.fromEntries(form.parameters.map(({ name, field }) => [name, emptyDraft(field)]));
  const message = form.message === undefined ? ({ is: "absent" } as const) : emptyDraft(form.message);
  return { surface: surfaces[0] ?? "websocket", inputs: { parameters, message, options: NO_OPTIONS }, isJson: false };
}

/** Returns the field by which the message is entered. */
export function messageField({ form, json }: Model, isJson: boolean): Field | undefined {
  return isJson && json !== undefined ? json : form.message;
}

/** Returns the message that was entered, and its problems. */
export function messageOf(model: Model, { inputs, isJson }: Entered): Outcome {
  const field = messageField(model, isJson);
  return field === undefined
    ? { value: undefined, problems: [] }
    : valueOf(field, inputs.message, model.schemas, ["body"]);
}

/** Returns the request for what was entered. */
export function requestOf(model: Model, { surface, inputs, isJson }: Entered): Built {
  const message = messageField(model, isJson);
  return build(model.definition, surface, { ...model.form, message }, inputs, model.schemas, model.addresses);
}

/** Returns the same message as JSON, or in the fields of the form; undefined if the JSON cannot be read. */
export function turned(model: Model, entered: Entered): Entered | undefined {
  const { inputs, isJson } = entered;
  const { form, json, schemas } = model;
  if (form.message === undefined || json === undefined) {
    return undefined;
  }
  if (!isJson) {
    const { value } = valueOf(form.message, inputs.message, schemas, ["body"]);
    return {
      ...entered,
      isJson: true,
      inputs: { ...inputs, message: { is: "text", text: pretty(value ?? skeleton(json.schema, schemas)) } },
    };
  }
  const found = parsed(inputs.message.is === "text" ? inputs.message.text : "", ["body"]);
  return found.problems.length > 0
    ? undefined
    : { ...entered, isJson: false, inputs: { ...inputs, message: draftOf(form.message, found.value) } };
}

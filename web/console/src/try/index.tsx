// The panel that connects to a definition and shows what it sends.

import "./try.css";
import { useEffect, useMemo, useState } from "preact/hooks";
import type { AsyncApi, Definition } from "../document.js";
import { Copying } from "./copying.js";
import { RequestForm } from "./form.js";
import { modelOf, nothingEntered, requestOf } from "./inputs.js";
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

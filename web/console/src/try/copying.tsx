// The same request in other languages.

import { useEffect, useId, useState } from "preact/hooks";
import { copy } from "./hooks.js";
import type { Request } from "./request.js";
import { type Language, LANGUAGES, leftOut, snippet } from "./snippets.js";

/** Code that makes the request that the form describes. */
export function Copying({ request }: { request: Request | undefined }) {
  const id = useId();
  const [language, setLanguage] = useState<Language>("curl");
  const [said, setSaid] = useState("");
  const shown = request && snippet(language, request);
  const note = request && leftOut(language, request);
  useEffect(() => setSaid(""), [language, shown?.code]);
  const pressed = (event: KeyboardEvent): void => {
    const at = LANGUAGES.findIndex(([each]) => each === language);
    const last = LANGUAGES.length - 1;
    const next = { ArrowRight: at === last ? 0 : at + 1, ArrowLeft: at === 0 ? last : at - 1, Home: 0, End: last }[
      event.key
    ];
    if (next !== undefined) {
      event.preventDefault();
      setLanguage(LANGUAGES[next]![0]);
      document.getElementById(`${id}-${LANGUAGES[next]![0]}`)?.focus();
    }
  };
  const copied = async (): Promise<void> =>
    setSaid((await copy(shown!.code)) ? "Copied" : "Not copied: select the code, and copy it by hand");
  return (
    <section class="try-copy" aria-labelledby={`${id}-title`}>
      <h2 id={`${id}-title`}>Copy this request</h2>
      <div class="try-tabs" role="tablist" aria-labelledby={`${id}-title`} onKeyDown={pressed}>
        {LANGUAGES.map(([each, name]) => (
          <button
            key={each}
            type="button"
            role="tab"
            id={`${id}-${each}`}
            aria-selected={each === language}
            aria-controls={`${id}-panel`}
            tabIndex={each === language ? 0 : -1}
            onClick={() => setLanguage(each)}
          >
            {name}
          </button>
        ))}
      </div>
      <div role="tabpanel" id={`${id}-panel`} aria-labelledby={`${id}-${language}`}>
        {shown === undefined ? (
          <p class="try-hint">The code appears when all required fields are filled in.</p>
        ) : !shown.isCode ? (
          <p class="try-hint">{shown.code}</p>
        ) : (
          <>
            <pre tabIndex={0} role="region" aria-label="Code">
              <code>{shown.code}</code>
            </pre>
            <p class="try-copy-foot">
              <button type="button" class="try-plain" onClick={() => void copied()}>
                Copy
              </button>
              <span role="status">{said}</span>
            </p>
          </>
        )}
        {note && <p class="try-hint">{note}</p>}
      </div>
    </section>
  );
}

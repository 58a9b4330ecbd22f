// The shell: the header, the view of the current route, and the live region.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Overview } from "./data.js";
import { definitionsOf, load, type AsyncApi } from "./document.js";
import { useWatch, type Watched } from "./hooks.js";
import { link, useRoute, type Route } from "./route.js";
import { TryIt } from "./try/index.js";

export function App() {
  const route = useRoute();
  const overview = useWatch<Overview>("overview");
  const [document, problem] = useDocument();
  return (
    <>
      <button type="button" class="skip" onClick={() => window.document.getElementById("main")?.focus()}>
        Skip to content
      </button>
      <Header overview={overview} route={route} />
      <Main route={route}>
        {problem && <p class="notice">{problem}</p>}
        {document && <View route={route} document={document} />}
      </Main>
    </>
  );
}

function useDocument(): [AsyncApi | null, string] {
  const [document, setDocument] = useState<AsyncApi | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    load().then(setDocument, (error: unknown) => setProblem(String(error)));
  }, []);
  return [document, problem];
}

const LINKS = { connecting: "Connecting", live: "Live", lost: "Reconnecting", refused: "Refused", resting: "Paused" };

function Header({ overview, route }: { overview: Watched<Overview>; route: Route }) {
  const app = overview.value?.app;
  return (
    <header class="top">
      <a class="brand" href={link({ view: "definitions" })}>
        <svg viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">
          <rect class="tile" width="32" height="32" rx="7" />
          <path d="M6 21h7l3-11 3 15 3-9h4" />
        </svg>
        {app?.title ?? "Wirespeed"}
      </a>
      <p class="connection" role="status" data-state={overview.link}>
        {LINKS[overview.link]}
      </p>
      <nav aria-label="Console">
        <Tab to="definitions" isCurrent={!["clients", "client", "processes"].includes(route.view)}>Definitions</Tab>
        <Tab to="clients" isCurrent={["clients", "client"].includes(route.view)}>Clients</Tab>
        <Tab to="processes" isCurrent={route.view === "processes"}>Processes</Tab>
      </nav>
    </header>
  );
}

interface TabProps {
  to: "definitions" | "clients" | "processes";
  isCurrent: boolean;
  children: ComponentChildren;
}

function Tab({ to, isCurrent, children }: TabProps) {
  return (
    <a href={link({ view: to })} aria-current={isCurrent ? "page" : undefined}>
      {children}
    </a>
  );
}

/** Moves the focus to the heading of a new view, which screen readers then read. */
function Main({ route, children }: { route: Route; children: ComponentChildren }) {
  const main = useRef<HTMLElement>(null);
  const shown = useRef(route.view);
  useEffect(() => {
    if (shown.current !== route.view) {
      shown.current = route.view;
      main.current?.focus();
    }
  });
  return (
    <main id="main" tabIndex={-1} ref={main}>
      {children}
    </main>
  );
}

function View({ route, document }: { route: Route; document: AsyncApi }) {
  const definitions = definitionsOf(document);
  if ("path" in route) {
    const definition = definitions.find(({ path }) => path === route.path);
    if (definition) {
      return (
        <>
          <h1>{definition.path}</h1>
          <TryIt definition={definition} document={document} />
        </>
      );
    }
  }
  return (
    <>
      <h1>Definitions</h1>
      <ul>
        {definitions.map(({ id, path, kind, summary }) => (
          <li key={id}>
            <a href={link({ view: "try", path })}>{path}</a> {kind} {summary}
          </li>
        ))}
      </ul>
    </>
  );
}

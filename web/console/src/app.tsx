// The shell: the header, the view of the current route, and the live region.

import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { announce, announceIn } from "./announce.js";
import { ClientPage } from "./client.js";
import { Clients } from "./clients.js";
import type { Overview } from "./data.js";
import { DefinitionPage } from "./definition.js";
import { Definitions } from "./definitions.js";
import { definitionsOf, load, type AsyncApi } from "./document.js";
import { History } from "./history.js";
import { useWatch, type Watched } from "./hooks.js";
import { KeyPage } from "./key.js";
import { learn, ordered } from "./names.js";
import { Heading, Waiting } from "./parts.js";
import { Processes } from "./processes.js";
import { link, useRoute, type Route } from "./route.js";
import type { Link } from "./watch.js";

export function App() {
  const route = useRoute();
  const overview = useOverview();
  const history = useRef(new History()).current;
  const [document, problem] = useDocument(overview.link);
  if (overview.value) {
    history.take(overview.value);
    learn(overview.value.processes);
  }
  useEffect(() => {
    if (overview.link !== "connecting") {
      announce(LINKS[overview.link]);
    }
  }, [overview.link]);
  return (
    <>
      <button type="button" class="skip" onClick={() => window.document.querySelector("h1")?.focus()}>
        Skip to content
      </button>
      <Header overview={overview} route={route} />
      <main>
        {problem && <p class="notice">{problem}</p>}
        {document ? (
          <View route={route} document={document} overview={overview} history={history} />
        ) : (
          <Waiting link={overview.link} reason={overview.reason} />
        )}
      </main>
      <p class="hidden" role="status" ref={announceIn} />
    </>
  );
}

const NO_DOCUMENT: AsyncApi = { asyncapi: "3.0.0", info: { title: "", version: "" }, channels: {} };

/** Watches the overview, with the processes in a fixed order. */
function useOverview(): Watched<Overview> {
  const watched = useWatch<Overview>("overview");
  return useMemo(() => {
    const { value } = watched;
    return { ...watched, value: value && { ...value, processes: ordered(value.processes) } };
  }, [watched]);
}

/**
 * Returns the AsyncAPI document once it is loaded. Without it, the views show figures, but no types. After each
 * interruption it is loaded again: a server that was developed further has other definitions.
 */
function useDocument(state: Link): [AsyncApi | null, string] {
  const [document, setDocument] = useState<AsyncApi | null>(null);
  const [problem, setProblem] = useState("");
  const isLost = state === "lost";
  useEffect(() => {
    if (isLost) {
      return;
    }
    load().then(
      (loaded) => {
        setDocument(loaded);
        setProblem("");
      },
      (error: unknown) => {
        setProblem(`The types of the definitions are missing: ${error instanceof Error ? error.message : String(error)}.`);
        setDocument((before) => before ?? NO_DOCUMENT);
      },
    );
  }, [isLost]);
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
        {app && <small>{app.version}</small>}
      </a>
      <p class="connection" data-state={overview.link}>{LINKS[overview.link]}</p>
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

interface ViewProps {
  route: Route;
  document: AsyncApi;
  overview: Watched<Overview>;
  history: History;
}

function View({ route, document, overview, history }: ViewProps) {
  const definitions = useMemo(() => new Map(definitionsOf(document).map((each) => [each.path, each])), [document]);
  const known = { definitions, overview, history };
  switch (route.view) {
    case "definitions":
      return <Definitions {...known} />;
    case "definition":
    case "types":
    case "try":
      return <DefinitionPage key={route.path} path={route.path} part={route.view} document={document} {...known} />;
    case "key":
      return <KeyPage key={route.text} text={route.text} />;
    case "clients":
      return <Clients />;
    case "client":
      return <ClientPage key={`${route.process}/${route.id}`} {...route} mayDisconnect={overview.value?.may_disconnect ?? false} />;
    case "processes":
      return <Processes overview={overview} />;
    default:
      return (
        <>
          <Heading title="Not found">Not found</Heading>
          <p>The console has no such view. <a href={link({ view: "definitions" })}>All definitions</a></p>
        </>
      );
  }
}

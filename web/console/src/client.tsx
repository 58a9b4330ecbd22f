// One client: its identity, its subscriptions, the bytes that wait for it, and the button that disconnects it.

import { useRef, useState } from "preact/hooks";
import { at } from "./address.js";
import { announce } from "./announce.js";
import type { Client } from "./data.js";
import { age, bytes, count, UNKNOWN } from "./format.js";
import { useWatch } from "./hooks.js";
import { labelOf } from "./names.js";
import { Badge, Figure, Heading, Table, Waiting } from "./parts.js";
import { link } from "./route.js";

interface Props {
  process: string;
  id: string;
  mayDisconnect: boolean;
}

export function ClientPage({ process, id, mayDisconnect }: Props) {
  const { value, link: state, reason } = useWatch<Client | { gone: true }>("client", { process, id });
  return (
    <>
      <p class="crumbs"><a href={link({ view: "clients" })}>Clients</a></p>
      <div class="title">
        <Heading title={`Client ${id}`}>Client <code>{id}</code></Heading>
        {mayDisconnect && value && !("gone" in value) && <Disconnect process={process} id={id} />}
      </div>
      {!value && <Waiting link={state} reason={reason} />}
      {value && "gone" in value && <p class="empty">This client is no longer connected.</p>}
      {value && !("gone" in value) && <Body client={value} />}
    </>
  );
}

function Body({ client }: { client: Client }) {
  return (
    <>
      <section class="card summary" aria-label="Figures">
        <dl class="figures">
          <Figure label="User" value={client.user || "anonymous"} />
          <Figure label="Connected" value={age(client.at - client.since)} />
          <Figure label="Subscriptions" value={count(client.subscriptions)} />
          <Figure label="Waiting" value={bytes(client.waiting)} />
        </dl>
      </section>
      <div class="halves">
        <Identity identity={client.identity} at={client.at} />
        <section class="card" aria-labelledby="connection">
          <h2 id="connection">Connection</h2>
          <dl class="facts">
            <div><dt>Path</dt><dd><code>{client.path}</code></dd></div>
            <div><dt>Address</dt><dd>{client.address || UNKNOWN}</dd></div>
            <div><dt>Surface</dt><dd>{surfaceOf(client)}</dd></div>
            <div><dt>Lane</dt><dd>{client.lane}</dd></div>
            <div><dt>Process</dt><dd>{labelOf(client.process)}</dd></div>
          </dl>
        </section>
      </div>
      <Channels client={client} />
    </>
  );
}

function surfaceOf({ surface, transport }: Client): string {
  return surface === transport ? surface : `${surface}, over ${transport}`;
}

function Identity({ identity, at: now }: { identity: Client["identity"]; at: number }) {
  return (
    <section class="card" aria-labelledby="identity">
      <h2 id="identity">Identity</h2>
      {identity ? (
        <dl class="facts">
          <div><dt>User</dt><dd>{identity.user || UNKNOWN}</dd></div>
          <div><dt>Session</dt><dd>{identity.session ? <code>{identity.session}</code> : UNKNOWN}</dd></div>
          <div><dt>Expires</dt><dd>{identity.expires_at === null ? "never" : `in ${age(identity.expires_at - now)}`}</dd></div>
          {identity.info !== null && <div><dt>Info</dt><dd><code>{JSON.stringify(identity.info)}</code></dd></div>}
          {identity.subscriptions.length > 0 && (
            <div><dt>Subscribed by the app</dt><dd><code>{identity.subscriptions.join(", ")}</code></dd></div>
          )}
        </dl>
      ) : (
        <p class="quiet">The app has not identified this client.</p>
      )}
    </section>
  );
}

function Channels({ client }: { client: Client }) {
  const head = (
    <>
      <th scope="col">Channel</th>
      <th scope="col">Kind</th>
      <th scope="col" class="figure">Since</th>
      <th scope="col" class="figure">Lag<small>entries</small></th>
      <th scope="col" class="figure">Waiting<small>bytes</small></th>
    </>
  );
  return (
    <section class="block" aria-labelledby="channels">
      <h2 id="channels">Subscriptions <small>{count(client.channels.length)}</small></h2>
      {client.channels.length === 0 ? (
        <p class="empty">No subscriptions.</p>
      ) : (
        <Table caption="Subscriptions of this client" head={head} class="list">
          {client.channels.map(({ channel, kind, since, lag, waiting }, index) => (
            <tr key={index}>
              <th scope="row"><Channel name={channel} kind={kind} /></th>
              <td><Badge mood={kind} word={kind} /></td>
              <td class="figure">{age(since === null ? null : client.at - since)}</td>
              <td class="figure">{count(lag)}</td>
              <td class="figure">{bytes(waiting)}</td>
            </tr>
          ))}
        </Table>
      )}
    </section>
  );
}

/** A feed's or a topic's channel is a key; the run of a stream has no page. */
function Channel({ name, kind }: { name: string; kind: string }) {
  const text = name.startsWith("/") ? name : `/${name}`;
  return kind === "feed" || kind === "topic" ? (
    <a href={link({ view: "key", text })}><code>{text}</code></a>
  ) : (
    <code>{text}</code>
  );
}

/** Asks first: the client may be a person in the middle of something. */
function Disconnect({ process, id }: { process: string; id: string }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [problem, setProblem] = useState("");
  const disconnect = async (): Promise<void> => {
    dialog.current?.close();
    const words = await problemOf(process, id);
    setProblem(words);
    announce(words || "Disconnected");
  };
  return (
    <div class="ask">
      <button type="button" class="danger" onClick={() => dialog.current?.showModal()}>Disconnect</button>
      {problem && <p class="state" data-mood="bad">{problem}</p>}
      <dialog ref={dialog} aria-labelledby="ask">
        <h2 id="ask">Disconnect this client?</h2>
        <p>Its connection is closed now. A client with reconnection built in may connect again.</p>
        <div class="act">
          <button type="button" class="danger" onClick={() => void disconnect()}>Disconnect</button>
          <button type="button" class="minor" onClick={() => dialog.current?.close()}>Cancel</button>
        </div>
      </dialog>
    </div>
  );
}

/** Disconnects a client, and returns what prevented it. */
async function problemOf(process: string, id: string): Promise<string> {
  try {
    const response = await fetch(at("console/disconnect"), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ process, id }),
    });
    return response.ok ? "" : `The server answered with ${response.status}.`;
  } catch {
    return "The server cannot be reached.";
  }
}

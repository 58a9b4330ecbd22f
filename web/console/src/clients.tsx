// All clients of all processes.

import { useEffect, useState } from "preact/hooks";
import { announce } from "./announce.js";
import type { Clients as Data } from "./data.js";
import { age, bytes, count } from "./format.js";
import { useSettled, useWatch } from "./hooks.js";
import { memo } from "./memo.js";
import { Heading, Search, Table, Waiting } from "./parts.js";
import { link } from "./route.js";

const PAGE = 100;

export function Clients() {
  const [text, setText] = useState("");
  const [limit, setLimit] = useState(PAGE);
  const search = useSettled(text.trim());
  const { value, link: state, reason } = useWatch<Data>("clients", { search, limit });
  useEffect(() => setLimit(PAGE), [search]);
  useEffect(() => {
    if (search && value) {
      announce(`${count(value.total)} clients match`);
    }
  }, [search, value?.total]);
  const more = value ? value.total - value.clients.length : 0;
  return (
    <>
      <Heading title="Clients">Clients {value && <small>{count(value.total)}</small>}</Heading>
      <div class="toolbar">
        <Search label="Search users, sessions and clients" value={text} onChange={setText} />
      </div>
      {!value && <Waiting link={state} reason={reason} />}
      {value?.clients.length === 0 && <p class="empty">{search ? "No client matches." : "No client is connected."}</p>}
      {value && value.clients.length > 0 && <Rows data={value} />}
      {more > 0 && (
        <button type="button" class="more" onClick={() => setLimit(limit + PAGE)}>
          Show {Math.min(PAGE, more)} more of {count(value?.total)}
        </button>
      )}
    </>
  );
}

function Rows({ data }: { data: Data }) {
  const head = (
    <>
      <th scope="col">Client</th>
      <th scope="col">User</th>
      <th scope="col">Session</th>
      <th scope="col">Process</th>
      <th scope="col">Surface</th>
      <th scope="col">Lane</th>
      <th scope="col" class="figure">Connected</th>
      <th scope="col" class="figure">Subscriptions</th>
      <th scope="col" class="figure">Waiting</th>
    </>
  );
  return (
    <Table caption="Connected clients" head={head} class="list">
      {data.clients.map(({ id, process, user, session, surface, lane, since, subscriptions, waiting }) => (
        <Line
          key={`${process} ${id}`}
          id={id}
          process={process}
          user={user ?? ""}
          session={session ?? ""}
          surface={surface}
          lane={lane}
          since={age(data.at - since)}
          subscriptions={count(subscriptions)}
          waiting={bytes(waiting)}
        />
      ))}
    </Table>
  );
}

type LineProps = Record<
  "id" | "process" | "user" | "session" | "surface" | "lane" | "since" | "subscriptions" | "waiting",
  string
>;

const Line = memo(function Line({ id, process, user, session, surface, lane, since, subscriptions, waiting }: LineProps) {
  return (
    <tr>
      <th scope="row"><a href={link({ view: "client", process, id })}><code>{id}</code></a></th>
      <td>{user || "–"}</td>
      <td>{session ? <code>{session}</code> : "–"}</td>
      <td>{process}</td>
      <td>{surface}</td>
      <td>{lane}</td>
      <td class="figure">{since}</td>
      <td class="figure">{subscriptions}</td>
      <td class="figure" data-mood={waiting === "0 B" ? "quiet" : undefined}>{waiting}</td>
    </tr>
  );
});

// All clients of all processes.

import { useEffect, useState } from "preact/hooks";
import { announce } from "./announce.js";
import type { Clients as Data } from "./data.js";
import { age, bytes, count, UNKNOWN } from "./format.js";
import { useSettled, useWatch } from "./hooks.js";
import { memo } from "./memo.js";
import { labelOf } from "./names.js";
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
        <Search label="Search users, addresses and paths" value={text} onChange={setText} />
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
      <th scope="col">Path</th>
      <th scope="col">Address</th>
      <th scope="col">Process</th>
      <th scope="col">Surface</th>
      <th scope="col" class="figure">Connected</th>
      <th scope="col" class="figure">Subscriptions</th>
      <th scope="col" class="figure">Waiting</th>
    </>
  );
  return (
    <Table caption="Connected clients" head={head} class="list">
      {data.clients.map(({ id, process, user, path, address, surface, since, subscriptions, waiting }) => (
        <Line
          key={`${process} ${id}`}
          id={id}
          process={process}
          label={labelOf(process)}
          user={user ?? ""}
          path={path}
          address={address}
          surface={surface}
          since={age(data.at - since)}
          subscriptions={count(subscriptions)}
          waiting={bytes(waiting)}
        />
      ))}
    </Table>
  );
}

type LineProps = Record<
  "id" | "process" | "label" | "user" | "path" | "address" | "surface" | "since" | "subscriptions" | "waiting",
  string
>;

const Line = memo(function Line(line: LineProps) {
  const { id, process, waiting } = line;
  return (
    <tr>
      <th scope="row"><a href={link({ view: "client", process, id })}><code>{id}</code></a></th>
      <td>{line.user || UNKNOWN}</td>
      <td><code class="preview short">{line.path}</code></td>
      <td>{line.address || UNKNOWN}</td>
      <td>{line.label}</td>
      <td>{line.surface}</td>
      <td class="figure">{line.since}</td>
      <td class="figure">{line.subscriptions}</td>
      <td class="figure" data-mood={waiting === "0 B" ? "quiet" : undefined}>{waiting}</td>
    </tr>
  );
});

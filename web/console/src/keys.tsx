// The keys of a feed or a topic that are in use.

import { useEffect, useState } from "preact/hooks";
import { announce } from "./announce.js";
import type { Keys as Data } from "./data.js";
import { count } from "./format.js";
import { useSettled, useWatch } from "./hooks.js";
import { memo } from "./memo.js";
import { labelOf } from "./names.js";
import { Badge, moodOf, Search, Table, Waiting } from "./parts.js";
import { link } from "./route.js";

const PAGE = 100;

export function Keys({ path }: { path: string }) {
  const [text, setText] = useState("");
  const [limit, setLimit] = useState(PAGE);
  const search = useSettled(text.trim());
  const { value, link: state, reason } = useWatch<Data>("keys", { path, search, limit });
  useEffect(() => setLimit(PAGE), [search]);
  useEffect(() => {
    if (search && value) {
      announce(`${count(value.total)} keys match`);
    }
  }, [search, value?.total]);
  const more = value ? value.total - value.keys.length : 0;
  return (
    <section class="block" aria-labelledby="keys">
      <div class="toolbar">
        <h2 id="keys">Keys {value && <small>{count(value.total)}</small>}</h2>
        <Search label="Search keys" value={text} onChange={setText} />
      </div>
      {!value && <Waiting link={state} reason={reason} />}
      {value?.keys.length === 0 && (
        <p class="empty">{search ? "No key matches." : "No key is in use: no one watches, and nothing was published."}</p>
      )}
      {value && value.keys.length > 0 && <Rows data={value} />}
      {more > 0 && (
        <button type="button" class="more" onClick={() => setLimit(limit + PAGE)}>
          Show {Math.min(PAGE, more)} more of {count(value?.total)}
        </button>
      )}
    </section>
  );
}

function Rows({ data }: { data: Data }) {
  const head = (
    <>
      <th scope="col">Key</th>
      <th scope="col">State</th>
      <th scope="col" class="figure">Watchers</th>
      <th scope="col" class="figure">Published</th>
      <th scope="col">Processes</th>
    </>
  );
  return (
    <Table caption="Keys in use" head={head} class="list">
      {data.keys.map(({ text, state, watchers, published, processes }) => (
        <Line
          key={text}
          text={text}
          state={state}
          watchers={count(watchers)}
          published={count(published)}
          processes={processes.map(labelOf).join(", ")}
        />
      ))}
    </Table>
  );
}

interface LineProps {
  text: string;
  state: string;
  watchers: string;
  published: string;
  processes: string;
}

const Line = memo(function Line({ text, state, watchers, published, processes }: LineProps) {
  return (
    <tr>
      <th scope="row"><a href={link({ view: "key", text })}><code>{text}</code></a></th>
      <td><Badge mood={moodOf(state)} word={state} /></td>
      <td class="figure">{watchers}</td>
      <td class="figure">{published}</td>
      <td>{processes}</td>
    </tr>
  );
});

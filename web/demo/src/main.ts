import "uplot/dist/uPlot.min.css";
import "../style.css";
import { pausedBy } from "./attention.js";
import { Chat } from "./chat.js";
import { copies } from "./copy.js";
import { Counter } from "./counter.js";
import { part } from "./dom.js";
import { Freeze } from "./freeze.js";
import { Header } from "./header.js";
import { Load } from "./load.js";
import { Market } from "./market.js";
import { only } from "./only.js";
import { Race } from "./race.js";
import { Restart } from "./restart.js";
import { Signal } from "./signal.js";

const shows = only(new URLSearchParams(location.search).get("only"));

const PARTS: Record<string, (box: HTMLElement) => unknown> = {
  counters: (box) => [...box.querySelectorAll<HTMLElement>(".counter")].map((card) => new Counter(card)),
  chart: (box) => new Signal(box),
  install: copies,
  freeze: (box) => new Freeze(box),
  race: (box) => new Race(box),
  market: (box) => new Market(box),
  chat: (box) => new Chat(box),
  server: (box) => [new Load(box), new Restart(box)],
};

pausedBy(document);
new Header(part(document, ".top"));
for (const [id, begin] of Object.entries(PARTS)) {
  if (shows(id)) {
    begin(part(document, `#${id}`));
  }
}

import "uplot/dist/uPlot.min.css";
import "../style.css";
import { Chat } from "./chat.js";
import { Counter } from "./counter.js";
import { part } from "./dom.js";
import { Header } from "./header.js";
import { Load } from "./load.js";
import { Market } from "./market.js";
import { Prices } from "./prices.js";
import { Race } from "./race.js";
import { Trial } from "./trial.js";

for (const card of document.querySelectorAll<HTMLElement>(".counter")) {
  new Counter(card);
}
new Header(part(document, ".top"));
new Race(part(document, "#race"));
new Prices(part(document, "#prices"));
new Market(part(document, "#market"));
new Chat(part(document, "#chat"));
new Load(part(document, "#server"));
new Trial(part(document, "#trial"));

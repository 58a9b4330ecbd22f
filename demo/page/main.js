import { Counter } from "./counter.js";
import { Race } from "./race.js";

for (const card of document.querySelectorAll(".counter")) {
  new Counter(card);
}
new Race(document.querySelector("#race"));

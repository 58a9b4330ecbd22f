import { Chat } from "./chat.js";
import { Counter } from "./counter.js";
import { Load } from "./load.js";
import { Market } from "./market.js";
import { Price } from "./price.js";
import { Race } from "./race.js";

for (const card of document.querySelectorAll(".counter")) {
  new Counter(card);
}
new Race(document.querySelector("#race"));
new Price(document.querySelector("#price"));
new Market(document.querySelector("#market"));
new Chat(document.querySelector("#chat"));
new Load(document.querySelector("#server"));

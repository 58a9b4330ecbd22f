// Components with the hooks, in StrictMode; tests choose what is shown by `show`.

import { createElement as h, StrictMode, useSyncExternalStore } from "react";
import { createRoot } from "react-dom/client";
import { connect } from "wirespeed";
import { useFeed, useStream } from "wirespeed/react";

const live = connect({ sdk: { timeout: 180_000 } }); // the SDK's five seconds may pass on a slow machine

const wishes = new Set();
let shown = { prices: 0, stream: false, keep: 0, path: "price/react" };

globalThis.live = live;
globalThis.renders = 0;
globalThis.frames = 0;
requestAnimationFrame(function count() {
  globalThis.frames += 1;
  requestAnimationFrame(count);
});
globalThis.show = (wish) => {
  shown = { ...shown, ...wish };
  wishes.forEach((tell) => tell());
};

function useWish() {
  const subscribe = (tell) => {
    wishes.add(tell);
    return () => wishes.delete(tell);
  };
  return useSyncExternalStore(subscribe, () => shown);
}

function Price({ path }) {
  const { value } = useFeed(live, path);
  globalThis.renders += 1;
  return h("li", null, value === undefined ? "nothing" : String(value));
}

function Words() {
  const told = useStream(live, "talk", "to be or not");
  return h("p", { id: "words" }, JSON.stringify(told));
}

function Count({ keep }) {
  const { values, count, isDone } = useStream(live, "count", { message: "hello" }, { keep, params: { to: 40_000 } });
  const numbers = values.map(({ number }) => number);
  return h("p", { id: "count" }, isDone ? JSON.stringify([count, numbers]) : "counting");
}

function App() {
  const { prices, stream, keep, path } = useWish();
  const items = Array.from({ length: prices }, (_, index) => h(Price, { key: index, path }));
  return h("div", null, h("ul", null, ...items), stream ? h(Words) : null, keep ? h(Count, { keep }) : null);
}

createRoot(document.querySelector("#root")).render(h(StrictMode, null, h(App)));
globalThis.isReady = true;

import { part, say } from "./dom.js";
import { live } from "./live.js";

const WORDS = { connecting: "Connecting", connected: "Connected", stale: "Stale", failing: "Failing", closed: "Closed" };

/** The state of the page's one connection, in the header. */
export class Header {
  constructor(header: HTMLElement) {
    const state = part(header, ".connection");
    live.status.subscribe((status) => {
      say(state, WORDS[status.state]);
      state.dataset["state"] = status.state;
      state.title = status.reason ?? "The connection that all live data of this page shares";
    });
  }
}

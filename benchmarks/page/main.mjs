// The functions that the benchmark calls from outside.

import * as feeds from "./feeds.mjs";
import * as values from "./values.mjs";

Object.assign(globalThis, { feeds, values });
globalThis.isReady = true;

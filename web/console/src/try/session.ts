import { type Beside, type Direction, Frames } from "./frames.js";
import { request as overHttp } from "./http.js";
import { openMultiplexed } from "./multiplexed.js";
import { Numbers } from "./numbers.js";
import type { Refusal } from "./refusal.js";
import type { Request } from "./request.js";
import { Rows } from "./rows.js";
import type { Run, Sink } from "./run.js";
import { openWebSocket } from "./websocket.js";

/** State of the latest run; `idle` before the first. */
export type Phase = "idle" | "opening" | "open" | "over";

/** Milliseconds over which a rate is taken. */
const WINDOW = 1000;

/** The runs of one definition, one after the other, and what has arrived. */
export class Session implements Sink {
  readonly frames = new Frames();
  readonly rows = new Rows();
  readonly numbers = new Numbers();
  /** Key, as JSON, of the row whose numbers are plotted; of a table only. */
  plotted: string | undefined;
  phase: Phase = "idle";
  /** Latest state in words. */
  note = "";
  refusal: Refusal | undefined;
  /** The request of the latest run. */
  request: Request | undefined;
  /** Number of changes. */
  version = 0;
  #run: Run | undefined;
  #begun: Promise<void> | undefined;
  #begin: (() => void) | undefined;
  readonly #listeners = new Set<() => void>();
  #windowStart = 0;
  #windowCount = 0;
  #rate = 0;
  /** Number of the run: a late event of an earlier one counts for nothing. */
  #number = 0;

  constructor(private readonly now: () => number = Date.now) {}

  /** True while a run goes on. */
  get isActive(): boolean {
    return this.phase === "opening" || this.phase === "open";
  }

  /** True if messages can be sent to the run. */
  get takesMessages(): boolean {
    return this.isActive && this.#run?.send !== undefined;
  }

  /** Values per second at present. */
  get rate(): number {
    const elapsed = this.now() - this.#windowStart;
    return elapsed > 2 * WINDOW ? 0 : this.#rate;
  }

  /** Calls a listener after each change, until the returned function is called. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Begins a run; an earlier one ends. */
  start(request: Request): void {
    this.#end();
    [this.request, this.refusal, this.phase, this.note] = [request, undefined, "opening", "Connecting"];
    if (request.definition.by) {
      this.rows.clear();
    }
    this.#begun = new Promise((resolve) => (this.#begin = resolve));
    const number = (this.#number += 1);
    const sink = this.#sinkOf(number);
    const { surface } = request;
    const open = surface === "websocket" ? openWebSocket : surface === "multiplexed" ? openMultiplexed : overHttp;
    try {
      this.#run = open(request, sink);
    } catch (error) {
      sink.refused({ status: undefined, message: (error as Error).message, inputs: [] });
      sink.ended("Failed");
    }
    this.#changed();
  }

  /** Sends a message to the run, as soon as it is open. */
  async send(message: unknown): Promise<void> {
    const number = this.#number;
    this.refusal = undefined;
    await this.#begun;
    if (number === this.#number) {
      this.#run?.send?.(message);
      this.#changed();
    }
  }

  /** Ends the run. */
  stop(): void {
    if (this.isActive) {
      this.#end();
      this.frame("state", "Stopped");
      this.ended("Stopped");
    }
  }

  /** Forgets what has arrived; the rows of a table stay, because only their changes follow. */
  clear(): void {
    this.frames.clear();
    this.numbers.clear();
    this.#changed();
  }

  /** Ends the run, for good. */
  dispose(): void {
    this.#listeners.clear();
    this.#end();
  }

  opened(note: string): void {
    [this.phase, this.note] = ["open", note];
    this.frame("state", note);
    this.#begin?.();
  }

  value(payload: string | Uint8Array, beside?: Beside, value?: unknown): void {
    const at = beside?.at ?? this.now();
    this.frames.add("in", payload, at, beside);
    this.#count(at);
    const by = this.request?.definition.by;
    if (typeof payload === "string" && (by || this.numbers.wants(at))) {
      const parsed = value === undefined ? parse(payload) : value;
      if (by) {
        this.#row(parsed, by, at);
      } else {
        this.numbers.add(parsed, at);
      }
    }
    this.#changed();
  }

  frame(direction: Direction, payload: string | Uint8Array, beside?: Beside): void {
    this.frames.add(direction, payload, this.now(), beside);
    this.#changed();
  }

  refused(refusal: Refusal): void {
    this.refusal = refusal;
    this.#changed();
  }

  ended(note: string): void {
    [this.phase, this.note, this.#run] = ["over", note, undefined];
    this.#changed();
  }

  /** Passes on what one run says, as long as it is the latest one. */
  #sinkOf(number: number): Sink {
    const if_ =
      <A extends unknown[]>(pass: (...given: A) => void) =>
      (...given: A): void => {
        if (number === this.#number) {
          pass(...given);
        }
      };
    return {
      opened: if_((note) => this.opened(note)),
      value: if_((payload, beside, value) => this.value(payload, beside, value)),
      frame: if_((direction, payload, beside) => this.frame(direction, payload, beside)),
      refused: if_((refusal) => this.refused(refusal)),
      ended: if_((note) => this.ended(note)),
    };
  }

  /** Takes a change of a table, or all of its rows. */
  #row(change: unknown, by: string, at: number): void {
    if (Array.isArray(change)) {
      return this.rows.replace(change, by);
    }
    const name = this.rows.apply(change);
    if (name !== undefined && (this.plotted ??= name) === name) {
      this.numbers.add(this.rows.get(name)?.value, at);
    }
  }

  /** Chooses the row whose numbers are plotted. */
  plot(name: string): void {
    this.plotted = name;
    this.numbers.clear();
    this.#changed();
  }

  #end(): void {
    this.#number += 1;
    const run = this.#run;
    this.#run = undefined;
    run?.stop();
  }

  #count(at: number): void {
    const elapsed = at - this.#windowStart;
    if (elapsed >= WINDOW) {
      this.#rate = elapsed > 2 * WINDOW ? this.#windowCount : (1000 * this.#windowCount) / elapsed;
      [this.#windowStart, this.#windowCount] = [at, 0];
    }
    this.#windowCount += 1;
  }

  #changed(): void {
    this.version += 1;
    this.#listeners.forEach((listener) => listener());
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

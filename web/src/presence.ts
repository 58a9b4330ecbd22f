import type { ClientInfo } from "centrifuge";
import { errorAt } from "./errors.js";
import type { Paintable } from "./painter.js";
import { guarded, type Readable } from "./readable.js";
import type { Consumer, Source } from "./source.js";
import { type Status, StatusVariable } from "./status.js";

/** Most members that a page keeps; the server lists no more either. */
const MOST = 1_000;

/** Milliseconds until the next question, if the server cannot answer one. */
const PAUSE = 2_000;

/** A client that is subscribed to a channel. */
export interface Member<Info = unknown> {
  /** Id of the connection: a user with two tabs has two. */
  readonly client: string;
  /** Id of the user; empty for an anonymous client. */
  readonly user: string;
  /** Public data about the client, `Identity.info`. */
  readonly info?: Info;
  /** Public data of the client's token for this channel, `Grant.info`. */
  readonly grant?: unknown;
}

/** All members by their clients' ids. */
export type Members<Info = unknown> = ReadonlyMap<string, Member<Info>>;

/** Called once per paint with the members that have joined and left since the last one, and with all members. */
export type MembersListener<Info> = (
  joined: readonly Member<Info>[],
  left: readonly Member<Info>[],
  members: Members<Info>,
) => void;

/**
 * The clients that are subscribed to a channel, at most 1,000 of them. Joins and leaves arrive if the channel is
 * declared with `join_leave=True`; otherwise, the members are those of the last question.
 */
export class Presence<Info = unknown> implements Readable<Members<Info>> {
  readonly #room: Room<Info>;

  /** @internal */
  constructor(source: Source<unknown>) {
    this.#room = roomOf<Info>(source);
  }

  /** All members as of the last paint: another map after each change. */
  get current(): Members<Info> {
    return this.#room.current;
  }

  /** State of the list. `connected`: the members are known. If the question was refused, `error` says why. */
  get status(): Readable<Status> {
    return this.#room.status;
  }

  /** Calls a listener at once with all members, and then once per paint that has changed them. */
  subscribe(listener: (members: Members<Info>) => void): () => void {
    listener(this.current);
    return this.#room.listen(() => listener(this.current));
  }

  /**
   * Calls a listener once per paint with the members that have joined and left. Those who are there at first have joined.
   *
   * @returns A function that stops it.
   */
  onChange(listener: MembersListener<Info>): () => void {
    if (this.current.size > 0) {
      listener([...this.current.values()], [], this.current);
    }
    return this.#room.listen((...change) => listener(...change));
  }

  /** Asks the server again, while the page listens: joins and leaves may be lost without notice. */
  refresh(): void {
    this.#room.refresh();
  }
}

/** Returns a member in our form. */
export function memberOf<Info>({ client, user, connInfo, chanInfo }: ClientInfo): Member<Info> {
  return {
    client,
    user,
    ...(connInfo !== undefined && { info: connInfo as Info }),
    ...(chanInfo !== undefined && { grant: chanInfo }),
  };
}

const known = new WeakMap<object, Room<never>>();

/** Returns the members of a source. All handles of the source share them. */
function roomOf<Info>(source: Source<unknown>): Room<Info> {
  const room = (known.get(source) as Room<Info> | undefined) ?? new Room<Info>(source);
  known.set(source, room as unknown as Room<never>);
  return room;
}

class Room<Info> implements Consumer<unknown>, Paintable {
  readonly every = false;
  readonly paintsHidden = false;
  readonly status = new StatusVariable();
  current: Members<Info> = new Map();
  readonly #listeners = new Set<MembersListener<Info>>();
  #members = new Map<string, Member<Info>>();
  /** Changes since the question that is open: its answer may be older. */
  #news: Map<string, Member<Info> | undefined> | undefined;
  /** Number of the last question: answers to earlier ones are ignored. */
  #question = 0;
  #isListening = false;
  #unwatch: () => void = () => {};
  #again: ReturnType<typeof setTimeout> | undefined;
  #leaving: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly source: Source<unknown>) {}

  listen(listener: MembersListener<Info>): () => void {
    this.#listeners.add(listener);
    clearTimeout(this.#leaving);
    if (!this.#isListening) {
      this.#isListening = true;
      this.source.add(this);
      this.#unwatch = this.source.status.subscribe((status) => this.#sourceIs(status));
    }
    return () => this.#unlisten(listener);
  }

  refresh(): void {
    if (this.source.isSubscribed) {
      void this.#ask();
    }
  }

  member(info: ClientInfo, isHere: boolean): void {
    const member = isHere ? memberOf<Info>(info) : undefined;
    this.#news?.set(info.client, member);
    this.#put(info.client, member);
    this.source.connection.painter.add(this);
  }

  paint(): void {
    const before = this.current;
    const joined = [...this.#members.values()].filter(({ client }) => !before.has(client));
    const left = [...before.values()].filter(({ client }) => !this.#members.has(client));
    if (joined.length + left.length === 0) {
      return;
    }
    this.current = new Map(this.#members);
    for (const listener of [...this.#listeners]) {
      if (this.#listeners.has(listener)) {
        guarded(() => listener(joined, left, this.current));
      }
    }
  }

  take(): void {}

  lost(): void {}

  reset(): void {}

  #sourceIs(status: Status): void {
    if (!this.source.isSubscribed) {
      this.#question += 1;
      this.#become(status);
    } else if (status.state === "connected" || this.status.current.state !== "connected") {
      void this.#ask(); // joins and leaves were missed meanwhile; members are known of a source that fails, too
    }
  }

  async #ask(): Promise<void> {
    const question = (this.#question += 1);
    clearTimeout(this.#again);
    this.#news = new Map();
    try {
      const { clients } = await this.source.connection.sdk.presence(this.source.channel);
      if (question === this.#question) {
        this.#answered(Object.values(clients));
      }
    } catch (error) {
      if (question === this.#question) {
        this.#failed(error as { readonly code?: number; readonly temporary?: boolean });
      }
    }
  }

  #answered(clients: readonly ClientInfo[]): void {
    this.#members = new Map();
    clients.forEach((info) => this.#put(info.client, memberOf<Info>(info)));
    this.#news?.forEach((member, client) => this.#put(client, member));
    this.#news = undefined;
    this.status.become("connected");
    this.source.connection.painter.add(this);
  }

  #failed(error: { readonly code?: number; readonly temporary?: boolean }): void {
    if (error.temporary || (error.code ?? 0) < 100) {
      this.#again = setTimeout(() => this.refresh(), PAUSE);
      return;
    }
    const refused = errorAt(this.source.channel, error);
    this.#become({ state: "closed", reason: refused.message, code: refused.code, error: refused, since: Date.now() });
  }

  #become(status: Status): void {
    if (status.error !== undefined && !this.status.isWatched) {
      console.error(status.error.message);
    }
    this.status.set(status);
  }

  #put(client: string, member: Member<Info> | undefined): void {
    if (member === undefined) {
      this.#members.delete(client);
    } else if (this.#members.size < MOST || this.#members.has(client)) {
      this.#members.set(client, member);
    }
  }

  #unlisten(listener: MembersListener<Info>): void {
    if (this.#listeners.delete(listener) && this.#listeners.size === 0) {
      this.#leaving = setTimeout(() => this.#leave(), 0);
    }
  }

  /** Ends the subscription. A listener that returns in the same turn still finds the members. */
  #leave(): void {
    this.#isListening = false;
    this.#question += 1;
    clearTimeout(this.#again);
    this.#unwatch();
    this.source.remove(this);
    this.#members = new Map();
    this.current = new Map();
    this.status.set({ state: "connecting", since: Date.now() });
  }
}

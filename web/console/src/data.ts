// The values of the console's own feeds, as the server sends them, about one per second. Totals count from the start.

export interface Figures {
  keys: number;
  watchers: number;
  published: number;
  delivered: number;
  skipped: number;
  lost: number;
  failed: number;
  restarts: number;
  failing: number;
  bytes: number;
  runs: Runs;
}

/** The figures of a process in which a definition has not been used. */
export const NO_FIGURES: Figures = {
  keys: 0,
  watchers: 0,
  published: 0,
  delivered: 0,
  skipped: 0,
  lost: 0,
  failed: 0,
  restarts: 0,
  failing: 0,
  bytes: 0,
  runs: { active: 0, completed: 0, refused: 0, failed: 0, cancelled: 0 },
};

/** Runs of a stream or a call. */
export interface Runs {
  active: number;
  completed: number;
  refused: number;
  failed: number;
  cancelled: number;
}

export interface Row extends Figures {
  path: string;
  kind: "stream" | "feed" | "topic" | "call";
  by_process: Record<string, Figures>;
  /** The generators of each process, by state. */
  producers: Record<string, Record<string, number>>;
}

export interface Process {
  name: string;
  host: string;
  pid: number;
  uptime: number;
  /** Null where it is not known. */
  loop_lag: { mean: number; worst: number } | null;
  /** Cores in use: 0.5 is half a core. */
  cpu: number;
  memory: number | null;
  connections: number;
  clients: number;
  runs: number;
  messages: number;
  bytes: number;
  lanes: Record<string, number>;
  refused: Record<string, number>;
  broker: { state: string; seconds: number; problem: string | null; waiting: number };
  /** False if the process did not answer in time; its figures are then the last known ones. */
  answered: boolean;
}

export interface Overview {
  at: number;
  app: { title: string; version: string };
  self: string;
  may_disconnect: boolean;
  prefix: string;
  processes: Process[];
  definitions: Row[];
}

export interface KeyRow {
  key: Record<string, unknown>;
  text: string;
  watchers: number;
  published: number;
  processes: string[];
  state: string;
}

export interface Keys {
  at: number;
  total: number;
  keys: KeyRow[];
}

export interface Entry {
  offset: number;
  /** Seconds since it was published, where logs know it. */
  age: number | null;
  size: number;
  /** The name of a table's row: any JSON. */
  row: unknown;
  tags: Record<string, string>;
  preview: string;
}

export interface Watcher {
  process: string;
  client: string;
  user: string | null;
  surface: string;
  lag: number;
  waiting: number;
  painted_age: number | null;
}

export interface Key {
  at: number;
  text: string;
  path: string;
  /** False if no process has the key in use; what is retained of its log is shown. */
  live: boolean;
  /** True if the log has ended. */
  complete: boolean;
  position: { epoch: string; offset: number } | null;
  bytes: number;
  entries: Entry[];
  watchers: Watcher[];
  watchers_total: number;
  producer: { process: string; state: string; since: number; lease: number | null; restarts: number } | null;
  health: { state: string; since: number | null; reason: string };
  errors: { at: number; text: string }[];
}

export interface ClientRow {
  id: string;
  process: string;
  user: string | null;
  session: string | null;
  surface: string;
  transport: string;
  lane: string;
  path: string;
  address: string;
  since: number;
  subscriptions: number;
  waiting: number;
}

export interface Clients {
  at: number;
  total: number;
  clients: ClientRow[];
}

export interface Identity {
  user: string | null;
  session: string;
  expires_at: number | null;
  info: unknown;
  subscriptions: string[];
}

export interface Client extends ClientRow {
  at: number;
  /** Null if the app has not identified the client. */
  identity: Identity | null;
  /** Times and bytes are null where channels share a connection. */
  channels: { channel: string; kind: string; since: number | null; lag: number | null; waiting: number | null }[];
}

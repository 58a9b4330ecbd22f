import { connect, type ConnectOptions, type Live } from "../src/index.js";
import { vi } from "vitest";

/** A command of a client, with the fields that tests read. */
interface Command {
  readonly id?: number;
  readonly connect?: { readonly name?: string; readonly token?: string };
  readonly subscribe?: { readonly channel: string; readonly data: unknown; readonly recover?: boolean };
  readonly unsubscribe?: { readonly channel: string };
  readonly send?: { readonly data: { readonly wirespeed: { readonly acknowledge: Record<string, number> } } };
  readonly rpc?: { readonly method: string; readonly data: unknown };
  readonly publish?: { readonly channel: string; readonly data: unknown };
  readonly presence?: { readonly channel: string };
  readonly history?: { readonly channel: string; readonly limit?: number };
}

/** The answer to a command, without its id. */
export type Answer = Readonly<Record<string, unknown>>;

/** The server of a test. It speaks as much of the protocol as the client needs. */
export class Server {
  readonly received: Command[] = [];
  /** Addresses that clients have connected to. */
  readonly addresses: string[] = [];
  /** The answer to a connect. */
  connects: Answer = { connect: { client: "c", version: "1" } };
  /** The answer to a subscribe; by default, a success. An empty one is not sent. */
  subscribes: (channel: string, isBack: boolean) => Answer = (_, isBack) => ({
    subscribe: { recoverable: true, positioned: true, epoch: "e", offset: 0, was_recovering: isBack, recovered: isBack },
  });
  /** The answer to a call or to a message to a topic. */
  answers: (command: Command) => Answer = ({ rpc }) => (rpc ? { rpc: { data: rpc.data } } : { publish: {} });
  /** True if no connection can be opened. */
  isAway = false;
  #socket: Socket | undefined;

  /** Returns a client of this server, with any address. */
  client(options: ConnectOptions = {}): Live {
    const server = this;
    class Connected extends Socket {
      constructor(address: string) {
        super(server);
        server.addresses.push(address);
      }
    }
    const sdk = { websocket: Connected, minReconnectDelay: 10, maxReconnectDelay: 10, ...options.sdk };
    return connect({ ...options, sdk });
  }

  /** Channels that were subscribed, in order. */
  get subscribed(): string[] {
    return this.received.flatMap(({ subscribe }) => subscribe?.channel ?? []);
  }

  get unsubscribed(): string[] {
    return this.received.flatMap(({ unsubscribe }) => unsubscribe?.channel ?? []);
  }

  /** Counts that were acknowledged, in order. */
  get acknowledged(): Record<string, number>[] {
    return this.received.flatMap(({ send }) => (send ? [send.data.wirespeed.acknowledge] : []));
  }

  publish(channel: string, values: readonly unknown[], tags?: Record<string, string>): void {
    this.#push({ channel, pub: { data: values, ...(tags && { tags }) } });
  }

  /** Lets a client subscribe to a channel, or leave it. */
  member(channel: string, event: "join" | "leave", client: string): void {
    this.#push({ channel, [event]: { info: { client, user: "u" } } });
  }

  /** Sends a message of the connection. */
  say(data: unknown): void {
    this.#push({ message: { data } });
  }

  /** Ends a subscription. */
  end(channel: string, code: number, reason: string): void {
    this.#push({ channel, unsubscribe: { code, reason } });
  }

  /** Ends the connection; after codes from 3500 on, clients do not reconnect. */
  disconnect(code: number, reason: string): void {
    this.#push({ disconnect: { code, reason } });
  }

  /** Lets the network fail. */
  cut(): void {
    this.#socket?.closed(1006);
  }

  opened(socket: Socket): void {
    this.#socket = socket;
  }

  take(frame: string): void {
    for (const line of frame.split("\n").filter(Boolean)) {
      const command = JSON.parse(line) as Command;
      this.received.push(command);
      const answer = this.#answer(command);
      if (command.id !== undefined && Object.keys(answer).length > 0) {
        this.#tell({ id: command.id, ...answer });
      }
    }
  }

  #answer(command: Command): Answer {
    if (command.connect) {
      return this.connects;
    }
    if (command.subscribe) {
      return this.subscribes(command.subscribe.channel, command.subscribe.recover ?? false);
    }
    return command.unsubscribe ? { unsubscribe: {} } : this.answers(command);
  }

  #push(push: Answer): void {
    this.#tell({ push });
  }

  #tell(reply: Answer): void {
    this.#socket?.tell(JSON.stringify(reply));
  }
}

/** A WebSocket to a {@link Server}. Messages arrive in the next turn. */
class Socket {
  onopen?: () => void;
  onmessage?: (event: { data: string }) => void;
  onclose?: (event: { code: number; reason: string }) => void;
  onerror?: () => void;
  binaryType = "blob";
  #isOpen = true;

  constructor(private readonly server: Server) {
    server.opened(this);
    if (server.isAway) {
      this.closed(1006);
    } else {
      setTimeout(() => this.onopen?.(), 0);
    }
  }

  send(frame: string): void {
    setTimeout(() => this.server.take(frame), 0);
  }

  close(): void {
    this.closed(1000);
  }

  tell(data: string): void {
    setTimeout(() => this.#isOpen && this.onmessage?.({ data }), 0);
  }

  closed(code: number): void {
    if (this.#isOpen) {
      this.#isOpen = false;
      setTimeout(() => this.onclose?.({ code, reason: "" }), 0);
    }
  }
}

/** Lets the test control the time from here on. */
export function fakeTime(): () => void {
  vi.useFakeTimers({
    toFake: ["setTimeout", "clearTimeout", "requestAnimationFrame", "cancelAnimationFrame", "performance"],
  });
  return () => void vi.useRealTimers();
}

/** Milliseconds in which all messages arrive, are painted, and are acknowledged. */
export async function pass(milliseconds = 300): Promise<void> {
  await vi.advanceTimersByTimeAsync(milliseconds);
}

// Drives the official JavaScript SDK for a test: does what it is told to, and tells what happens. For Node and pages.

import { inTurns } from "./turns.mjs";

// Milliseconds for connections and replies: the SDK's five seconds may pass on a slow machine.
const PATIENCE = 180_000;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

// What a test calls a value is JSON; Protobuf clients are given its bytes, and give such.
const FORMATS = {
  json: {
    pack: (value) => value,
    unpack: (data) => data ?? null,
  },
  protobuf: {
    pack: (value) => encoder.encode(JSON.stringify(value)),
    unpack: (data) => (data?.length ? JSON.parse(decoder.decode(data)) : null),
  },
  bytes: {
    pack: (value) => Uint8Array.from(value),
    unpack: (data) => Array.from(data ?? []),
  },
};

const info = (unpack, who) =>
  who
    ? { user: who.user, client: who.client, conn_info: unpack(who.connInfo), chan_info: unpack(who.chanInfo) }
    : null;

const publication = ({ unpack }, context) => ({
  data: unpack(context.data),
  offset: Number(context.offset ?? 0),
  tags: context.tags ?? {},
  info: info(unpack, context.info),
});

const coded = (_, { code, reason }) => ({ code, reason });
const failed = (_, { error, code, message }) => ({ code: error?.code ?? code, message: error?.message ?? message });
const member = ({ unpack }, context) => ({ info: info(unpack, context.info) });

const subscribed = ({ unpack }, context) => ({
  recoverable: context.recoverable ?? false,
  positioned: context.positioned ?? false,
  was_recovering: context.wasRecovering ?? false,
  recovered: context.recovered ?? false,
  offset: Number(context.streamPosition?.offset ?? 0),
  epoch: context.streamPosition?.epoch ?? "",
  data: unpack(context.data),
});

// By event of the SDK: what a test is told of it.
const OF_SUBSCRIPTIONS = {
  subscribing: coded,
  subscribed,
  unsubscribed: coded,
  publication,
  join: member,
  leave: member,
  error: failed,
};

const inChannel = (tell) => (format, context) => ({ channel: context.channel, ...tell(format, context) });

const OF_CLIENTS = {
  connecting: coded,
  connected: ({ unpack }, context) => ({
    client: context.client,
    transport: context.transport,
    data: unpack(context.data),
  }),
  disconnected: coded,
  error: failed,
  message: ({ unpack }, context) => ({ data: unpack(context.data) }),
  subscribing: inChannel(() => ({})),
  subscribed: inChannel(subscribed),
  unsubscribed: inChannel(() => ({})),
  publication: inChannel(publication),
  join: inChannel(member),
  leave: inChannel(member),
};

export class Driver {
  // `sdks` has the SDK's class by format, `options` are for each client, `tell` takes what happens.
  constructor(sdks, options, tell) {
    this.sdks = sdks;
    this.options = options;
    this.tell = tell;
    this.known = new Map();
  }

  // Does one thing, named by `does`, and tells what came of it under its number.
  async take({ number, does, ...given }) {
    try {
      this.tell({ number, value: (await this[does](given)) ?? null });
    } catch (error) {
      this.tell({ number, error: { code: error.code ?? 0, message: String(error.message) } });
    }
  }

  hear(of, object, events, format) {
    for (const [event, told] of Object.entries(events)) {
      object.on(event, (context) => this.tell({ of, event, ...told(format, context) }));
    }
    this.known.set(of, { object, format });
  }

  // A callback of the SDK that gives one of `values` at a time, the last one from then on.
  oneOf(of, event, values) {
    let next = 0;
    return async () => {
      this.tell({ of, event });
      return values[Math.min(next++, values.length - 1)];
    };
  }

  client({ of, url, transport, format, token, tokens, data, headers }) {
    const endpoint = `${url}/${transport}`;
    const { pack } = FORMATS[format];
    const client = new this.sdks[format](
      transport === "websocket" ? endpoint.replace(/^http/, "ws") : [{ transport, endpoint }],
      {
        ...this.options,
        fetch: inTurns,
        timeout: PATIENCE,
        minReconnectDelay: 10,
        maxReconnectDelay: 100,
        emulationEndpoint: `${url}/emulation`,
        ...(token ? { token } : {}),
        ...(tokens ? { getToken: this.oneOf(of, "token", tokens) } : {}),
        ...(data === undefined ? {} : { data: pack(data) }),
        ...(headers ? { headers } : {}),
      },
    );
    this.hear(of, client, OF_CLIENTS, FORMATS[format]);
  }

  subscription({ of, client, channel, raw, token, tokens, data, states, ...options }) {
    const { object, format } = this.known.get(client);
    const chosen = raw ? FORMATS.bytes : format;
    const subscription = object.newSubscription(channel, {
      minResubscribeDelay: 10,
      maxResubscribeDelay: 100,
      ...(token ? { token } : {}),
      ...(tokens ? { getToken: this.oneOf(of, "token", tokens) } : {}),
      ...(data === undefined ? {} : { data: chosen.pack(data) }),
      ...(states ? { getState: this.oneOf(of, "state", states) } : {}),
      ...options,
    });
    this.hear(of, subscription, OF_SUBSCRIPTIONS, chosen);
  }

  connect({ of }) {
    this.known.get(of).object.connect();
  }

  disconnect({ of }) {
    this.known.get(of).object.disconnect();
  }

  subscribe({ of }) {
    this.known.get(of).object.subscribe();
  }

  unsubscribe({ of }) {
    this.known.get(of).object.unsubscribe();
  }

  remove({ of, client }) {
    this.known.get(client).object.removeSubscription(this.known.get(of).object);
  }

  async send({ of, data }) {
    const { object, format } = this.known.get(of);
    await object.send(format.pack(data));
  }

  async rpc({ of, method, data }) {
    const { object, format } = this.known.get(of);
    return format.unpack((await object.rpc(method, format.pack(data))).data);
  }

  // Of a subscription, or, with a channel, of a client.
  async publish({ of, channel, data }) {
    const { object, format } = this.known.get(of);
    await object.publish(...(channel ? [channel] : []), format.pack(data));
  }

  async history({ of, channel, ...options }) {
    const { object, format } = this.known.get(of);
    const told = await object.history(...(channel ? [channel] : []), options);
    return {
      publications: told.publications.map((each) => publication(format, each)),
      offset: Number(told.offset),
      epoch: told.epoch,
    };
  }

  async presence({ of, channel }) {
    const { object, format } = this.known.get(of);
    const { clients } = await object.presence(...(channel ? [channel] : []));
    return Object.fromEntries(Object.entries(clients).map(([id, each]) => [id, info(format.unpack, each)]));
  }

  async presence_stats({ of, channel }) {
    const told = await this.known.get(of).object.presenceStats(...(channel ? [channel] : []));
    return { clients: told.numClients, users: told.numUsers };
  }

  deltas({ of }) {
    const told = this.known.get(of).object.deltaStats();
    return { full: told.numFullPayloads, delta: told.numDeltaPayloads };
  }
}

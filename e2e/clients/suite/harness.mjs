// What the cases share. The numbers that a case names are those of the graphql-ws project's own tests, in the order in
// which they stand in its files client, server and use (version 6.4.2); the cases are written anew, against a running
// server that is reached over the network.
import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { createClient } from "graphql-ws";
import WebSocket from "ws";

export { assert, createClient, WebSocket };

// {host, port, token, secret}: the server under test, a publish token of it, a JWT that it accepts.
export const task = JSON.parse(process.argv[2]);
export const url = `ws://${task.host}:${task.port}/graphql`;

const cases = [];
const apart = {};

// test declares a case that stands for the numbers given.
export const test = (numbers, name, run) => cases.push({ numbers, name, run });

// without says why numbers have no case here.
export const without = (reason, ...numbers) => numbers.forEach((n) => (apart[n] = reason));

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// within fails when a promise takes longer than a wait on one machine can.
export const within = (promise, what, ms = 15_000) => {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`${what}: nothing within ${ms} ms`)), ms)));
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
};

// until waits for a condition.
export const until = (what, condition) =>
  within(
    (async () => {
      while (!condition()) await pause(5);
    })(),
    what,
  );

let keys = 0;
export const newKey = () => `key${++keys}`;

// publish lets the server send one event to the subscriptions of a key.
export async function publish(key, text) {
  const response = await fetch(`http://${task.host}:${task.port}/events`, {
    method: "POST",
    headers: { authorization: `Bearer ${task.token}`, "content-type": "application/json" },
    body: JSON.stringify({ channel: "pings", type: "pinged", data: { key, text } }),
  });
  assert.equal(response.status, 202);
}

export const document = (key) => `subscription { ping(key: "${key}") { text } }`;

// tap returns a WebSocket class that notes what a client sends and receives.
export function tap() {
  const log = { sent: [], received: [], sockets: [] };
  log.impl = class extends WebSocket {
    constructor(...args) {
      super(...args);
      log.sockets.push(this);
      this.on("message", (data) => log.received.push(JSON.parse(data)));
    }
    send(data, ...rest) {
      assert.equal(this.readyState, WebSocket.OPEN, "sent through a socket that is not open");
      log.sent.push(JSON.parse(data));
      super.send(data, ...rest);
    }
  };
  log.count = (type) => log.sent.filter((m) => m.type === type).length;
  return log;
}

// client makes a real client whose traffic is noted.
export function client(options = {}) {
  const log = tap();
  const made = createClient({ url, webSocketImpl: log.impl, retryAttempts: 0, onNonLazyError: () => {}, ...options });
  made.log = log;
  return made;
}

// subscribe runs an operation and notes what it gives.
export function subscribe(from, payload) {
  const sub = { results: [], error: undefined, completed: false };
  sub.dispose = from.subscribe(payload, {
    next: (value) => sub.results.push(value),
    error: (error) => (sub.error = error),
    complete: () => (sub.completed = true),
  });
  sub.next = async () => {
    await until("a result", () => sub.results.length > 0 || sub.error);
    assert.equal(sub.error, undefined, JSON.stringify(sub.error));
    return sub.results.shift();
  };
  sub.failed = async () => {
    await until("an error", () => sub.error);
    return sub.error;
  };
  sub.done = () => until("complete", () => sub.completed);
  return sub;
}

let marks = 0;

// live publishes until a subscription receives, and leaves nothing on its way.
export async function live(sub, key) {
  const seen = sub.results.length;
  await within(
    (async () => {
      while (sub.results.length === seen) {
        await publish(key, "probe");
        await pause(20);
      }
    })(),
    "a live subscription",
  );
  const mark = `mark${++marks}`;
  await publish(key, mark);
  for (let got; got !== mark; got = (await sub.next()).data.ping.text);
}

// ping opens a live subscription.
export async function ping(from, key = newKey()) {
  const sub = subscribe(from, { query: document(key) });
  await live(sub, key);
  return Object.assign(sub, { key });
}

// gateway forwards to the server and can cut what it forwards.
export async function gateway() {
  const open = new Set();
  let served = 0;
  const server = net.createServer((near) => {
    served++;
    const far = net.connect(task.port, task.host);
    for (const [socket, other] of [[near, far], [far, near]]) {
      open.add(socket);
      socket.on("error", () => {}).on("close", () => (open.delete(socket), other.destroy()));
      socket.pipe(other);
    }
  });
  const listen = async (port = 0) => {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    return server.address().port;
  };
  const port = await listen();
  const drop = () => open.forEach((socket) => socket.resetAndDestroy());
  return {
    url: `ws://127.0.0.1:${port}/graphql`,
    served: () => served,
    drop,
    away: () => (server.close(), drop()),
    back: () => listen(port),
    close: () => (server.close(), drop()),
  };
}

// raw opens a WebSocket without a client library.
export async function raw(protocols = "graphql-transport-ws", headers = {}) {
  const socket = new WebSocket(url, protocols, { headers });
  const messages = [];
  const closed = new Promise((resolve) => socket.on("close", (code, reason) => resolve({ code, reason: String(reason) })));
  socket.on("message", (data) => messages.push(JSON.parse(data)));
  socket.on("error", () => {});
  await within(once(socket, "open"), "open");
  const peer = {
    socket,
    messages,
    send: (...list) => list.forEach((m) => socket.send(typeof m === "string" ? m : JSON.stringify(m))),
    next: async () => {
      await until("a message", () => messages.length > 0);
      return messages.shift();
    },
    closed: () => within(closed, "a close"),
    // quiet checks that nothing more arrives: a ping's answer comes behind all that was on its way.
    quiet: async () => {
      peer.send({ type: "ping", payload: { mark: ++marks } });
      const mark = marks;
      assert.deepEqual(await peer.next(), { type: "pong", payload: { mark } });
    },
  };
  return peer;
}

export async function acknowledged(payload) {
  const peer = await raw();
  peer.send({ type: "connection_init", ...(payload && { payload }) });
  assert.deepEqual(await peer.next(), { type: "connection_ack" });
  return peer;
}

// run runs every case and reports one line for each.
export async function run() {
  await Promise.all(
    cases.map(async ({ numbers, name, run }) => {
      let failure;
      try {
        await within(run(), name, 45_000);
      } catch (error) {
        failure = String(error.stack ?? error);
      }
      console.log(JSON.stringify({ numbers, name, failure }));
    }),
  );
  for (const [number, reason] of Object.entries(apart)) console.log(JSON.stringify({ numbers: [number], reason }));
  process.exit(0);
}

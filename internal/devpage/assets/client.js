"use strict";
// A client of graphql-transport-ws in plain JavaScript: one socket for all subscriptions, opened when the first
// one starts, opened again with growing pauses after a loss, closed when the last one ends.
class GraphQLClient {
  // Close codes after which trying again cannot help.
  static fatal = new Set([1002, 1003, 1007, 1008, 1009, 1010, 1011, 1015, 4400, 4401, 4406, 4409, 4429, 4500]);

  // url: of the endpoint, relative or absolute. token(): the bearer token or "".
  // onstatus(state, text): state is idle, connecting, open, waiting or failed.
  constructor(url, { token = () => "", onstatus = () => {} } = {}) {
    this.url = new URL(url, location.href);
    this.url.protocol = this.url.protocol.replace("http", "ws");
    this.token = token;
    this.onstatus = onstatus;
    this.operations = new Map();
    this.lastId = 0;
    this.pause = 0;
    this.onstatus("idle", "not connected");
  }

  // subscribe starts an operation {query, variables, operationName} and returns the function that stops it.
  // sink: next(result), error(errors), complete(). An operation survives reconnects.
  subscribe(payload, sink) {
    const id = String(++this.lastId);
    this.operations.set(id, { payload, sink });
    if (this.acknowledged) this.send({ id, type: "subscribe", payload });
    else this.connect();
    return () => {
      if (!this.operations.delete(id)) return;
      if (this.acknowledged) this.send({ id, type: "complete" });
      this.closeIfUnused();
    };
  }

  connect() {
    if (this.socket || this.timer) return;
    this.onstatus("connecting", "connecting");
    const socket = (this.socket = new WebSocket(this.url, "graphql-transport-ws"));
    socket.onopen = () => {
      const token = this.token();
      this.send({ type: "connection_init", ...(token && { payload: { authorization: "Bearer " + token } }) });
    };
    socket.onmessage = ({ data }) => socket === this.socket && this.receive(JSON.parse(data));
    socket.onclose = (event) => this.closed(socket, event);
  }

  receive({ type, id, payload }) {
    if (type === "ping") return this.send({ type: "pong", payload });
    if (type === "connection_ack") {
      this.acknowledged = true;
      this.pause = 0;
      this.onstatus("open", "connected");
      for (const [id, { payload }] of this.operations) this.send({ id, type: "subscribe", payload });
      return;
    }
    const operation = this.operations.get(id);
    if (!operation) return;
    if (type === "next") return operation.sink.next(payload);
    this.operations.delete(id);
    if (type === "error") operation.sink.error(payload);
    if (type === "complete") operation.sink.complete?.();
    this.closeIfUnused();
  }

  closed(socket, { code, reason }) {
    if (socket !== this.socket) return;
    this.socket = null;
    this.acknowledged = false;
    const why = reason || { 1006: "no answer", 4403: "access refused" }[code] || "closed";
    if (this.operations.size === 0) return this.onstatus("idle", "not connected");
    if (GraphQLClient.fatal.has(code)) {
      this.onstatus("failed", `${why} (${code})`);
      for (const { sink } of this.operations.values()) sink.error([{ message: `${why} (${code})` }]);
      return this.operations.clear();
    }
    this.pause = Math.min(10_000, (this.pause || 250) * 2) * (0.75 + Math.random() / 2);
    this.onstatus("waiting", `${why} (${code}), trying again`);
    this.timer = setTimeout(() => {
      this.timer = null;
      if (this.operations.size > 0) this.connect();
    }, this.pause);
  }

  closeIfUnused() {
    if (this.operations.size > 0) return;
    this.acknowledged = false;
    this.socket?.close(1000);
    this.socket = null;
    this.onstatus("idle", "not connected");
  }

  send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }
}

// publish sends one event to POST /events and throws an Error with the server's words when it is refused.
async function publish(event, token = "") {
  const response = await fetch("/events", {
    method: "POST",
    headers: { "Content-Type": "application/json", ...(token && { Authorization: "Bearer " + token }) },
    body: JSON.stringify(event),
  });
  if (response.ok) return response.json();
  const body = await response.json().catch(() => ({}));
  throw new Error(body.errors?.map((e) => e.message).join("; ") || `HTTP ${response.status}`);
}

// element makes a DOM element with text and attributes.
function element(tag, text = "", attributes = {}) {
  const node = document.createElement(tag);
  node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

// showStatus keeps an element at the state of a client.
function showStatus(node) {
  return (state, text) => {
    node.dataset.state = state;
    node.textContent = text;
  };
}

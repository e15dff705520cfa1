// What the Node scripts share. A script takes one JSON argument {url, tokens, query, variables}, subscribes, prints
// a JSON line for each thing that happens ({"next":…}, {"error":…}, {"complete":true}) and unsubscribes when its
// standard input ends. It exits 0 once everything is closed.
import WebSocket from "ws";

// Apollo Client looks at the global that every browser, and Node.js since 22, has.
globalThis.WebSocket ??= WebSocket;

export const task = JSON.parse(process.argv[2]);

const print = (value) => process.stdout.write(JSON.stringify(value) + "\n");

// The observer that every client takes in some form.
export const sink = {
  next: (result) => print({ next: result }),
  error: (error) => print({ error: Array.isArray(error) ? error : (error.graphQLErrors ?? error.errors ?? [{ message: String(error?.message ?? error) }]) }),
  complete: () => print({ complete: true }),
};

// The endpoint for clients that speak HTTP.
export const httpURL = task.url.replace(/^ws/, "http");

// Each connect takes the next token, the last one again and again.
export const authorization = () => `Bearer ${task.tokens.length > 1 ? task.tokens.shift() : task.tokens[0]}`;

// Options of graphql-ws as an application would set them, with short pauses between tries.
export const options = {
  url: task.url,
  webSocketImpl: WebSocket,
  lazy: true,
  retryAttempts: Infinity,
  // By default a failed connect (an error, not a close) is final; an application that wants to survive a restart sets this.
  shouldRetry: () => true,
  retryWait: () => new Promise((resolve) => setTimeout(resolve, 50)),
  connectionParams: () => ({ authorization: authorization() }),
};

// untilStdinEnds runs stop when the driver closes the script's standard input.
export function untilStdinEnds(stop) {
  process.stdin.on("data", () => {});
  process.stdin.on("end", stop);
}

// npm @urql/core with its fetchExchange, which subscribes over server-sent events, or over multipart with a second
// argument `multipart`.
import { Client, fetchExchange } from "@urql/core";
import { pipe, subscribe } from "wonka";
import { authorization, httpURL, sink, task, untilStdinEnds } from "./harness.mjs";

const headers = () => ({
  authorization: authorization(),
  ...(process.argv[3] === "multipart" ? { accept: "multipart/mixed" } : {}),
});
const client = new Client({
  url: httpURL,
  preferGetMethod: false,
  fetchSubscriptions: true,
  fetchOptions: () => ({ headers: headers() }),
  exchanges: [fetchExchange],
});
let current;
let stopped = false;
const start = () => {
  if (stopped) return;
  current = pipe(
    client.subscription(task.query, task.variables),
    subscribe(({ data, error }) => {
      // A lost stream is the application's to begin again.
      if (error?.networkError && !error.graphQLErrors.length) {
        current?.unsubscribe();
        setTimeout(start, 50);
      } else if (error) sink.error(error);
      else sink.next({ data });
    }),
  );
};
start();
untilStdinEnds(() => {
  stopped = true;
  current.unsubscribe();
});

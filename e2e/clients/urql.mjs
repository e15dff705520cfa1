// npm @urql/core with its subscriptionExchange over graphql-ws.
import { Client, subscriptionExchange } from "@urql/core";
import { createClient } from "graphql-ws";
import { pipe, subscribe } from "wonka";
import { options, sink, task, untilStdinEnds } from "./harness.mjs";

const connection = createClient(options);
const client = new Client({
  url: task.url.replace(/^ws/, "http"),
  preferGetMethod: false,
  exchanges: [
    subscriptionExchange({
      forwardSubscription: (request) => ({
        subscribe: (observer) => ({
          unsubscribe: connection.subscribe({ query: request.query ?? "", variables: request.variables }, observer),
        }),
      }),
    }),
  ],
});
const { unsubscribe } = pipe(
  client.subscription(task.query, task.variables),
  subscribe(({ data, error }) => (error ? sink.error(error) : sink.next({ data }))),
);
untilStdinEnds(async () => {
  unsubscribe();
  await connection.dispose();
});

// npm graphql-ws: the reference client of the protocol.
import { createClient } from "graphql-ws";
import { options, sink, task, untilStdinEnds } from "./harness.mjs";

const client = createClient(options);
const stop = client.subscribe({ query: task.query, variables: task.variables }, sink);
untilStdinEnds(async () => {
  stop();
  await client.dispose();
});

// npm subscriptions-transport-ws: the client of the legacy protocol.
import { SubscriptionClient } from "subscriptions-transport-ws";
import WebSocket from "ws";
import { options, sink, task, untilStdinEnds } from "./harness.mjs";

const client = new SubscriptionClient(task.url, {
  reconnect: true,
  minTimeout: 5_000, // until the acknowledgement
  connectionParams: options.connectionParams,
}, WebSocket);
// Its back-off begins at a tenth of a second and grows to half a minute; an application would live with that.
client.backoff.duration = () => 50;
const subscription = client.request({ query: task.query, variables: task.variables }).subscribe({
  ...sink,
  error: (first) => sink.error([first]), // of the list that it makes of the one error
});
untilStdinEnds(() => {
  subscription.unsubscribe();
  client.close(true, true);
});

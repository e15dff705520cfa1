// npm graphql-sse: distinct connections, or one connection for all with a second argument `single`; with a third one, `resume`, it goes on
// where it stopped.
import { createClient } from "graphql-sse";
import { authorization, httpURL, sink, task, untilStdinEnds } from "./harness.mjs";

// The client tries again whatever an answer says; an application that wants to see why an operation is refused looks
// at the answer itself.
let refused;
const client = createClient({
  url: httpURL,
  singleConnection: process.argv[3] === "single",
  headers: () => ({ authorization: authorization() }),
  fetchFn: async (url, options) => {
    const response = await fetch(url, options);
    if (response.status === 400) refused = (await response.clone().json()).errors;
    return response;
  },
  retryAttempts: Infinity,
  retry: async () => {
    if (refused) throw refused;
    await new Promise((resolve) => setTimeout(resolve, 50));
  },
});
// The client sends the same request at each try, and writes it as JSON again: this member is then the newest cursor.
let cursor = true;
const extensions = process.argv[4] === "resume" ? { resume: { toJSON: () => cursor } } : undefined;
const stop = client.subscribe({ query: task.query, variables: task.variables, extensions }, {
  // With distinct connections, what is wrong with the operation comes as a result with errors, then the end.
  next: (result) => {
    cursor = result.extensions?.cursor ?? cursor;
    return result.errors && !result.data ? sink.error(result.errors) : sink.next(result);
  },
  error: sink.error,
  complete: sink.complete,
});
untilStdinEnds(() => {
  stop();
  client.dispose();
});

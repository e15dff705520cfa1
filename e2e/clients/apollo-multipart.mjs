// npm @apollo/client with its HttpLink, which subscribes over multipart, and RetryLink.
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { RetryLink } from "@apollo/client/link/retry";
import { authorization, httpURL, sink, task, untilStdinEnds } from "./harness.mjs";

const link = ApolloLink.from([
  new RetryLink({ delay: { initial: 50, max: 50 }, attempts: { max: Infinity, retryIf: (error) => !error.errors } }),
  new HttpLink({ uri: httpURL, fetch: (url, options) => fetch(url, { ...options, headers: { ...options.headers, authorization: authorization() } }) }),
]);
const client = new ApolloClient({ link, cache: new InMemoryCache() });
const subscription = client
  .subscribe({ query: gql(task.query), variables: task.variables, fetchPolicy: "no-cache", errorPolicy: "all" })
  .subscribe({
    next: ({ data, error }) => (error ? sink.error(error) : sink.next({ data })),
    error: sink.error,
    complete: sink.complete,
  });
untilStdinEnds(() => {
  subscription.unsubscribe();
  client.stop();
});

// npm @apollo/client with GraphQLWsLink.
import { ApolloClient, InMemoryCache, gql } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { createClient } from "graphql-ws";
import { options, sink, task, untilStdinEnds } from "./harness.mjs";

const connection = createClient(options);
const client = new ApolloClient({ link: new GraphQLWsLink(connection), cache: new InMemoryCache() });
const subscription = client
  .subscribe({ query: gql(task.query), variables: task.variables, fetchPolicy: "no-cache", errorPolicy: "all" })
  .subscribe({
    // Apollo Client hands refused operations to next, as an error with the list that the server sent.
    next: ({ data, error }) => (error ? sink.error(error) : sink.next({ data })),
    error: sink.error,
    complete: sink.complete,
  });
untilStdinEnds(async () => {
  subscription.unsubscribe();
  client.stop();
  await connection.dispose();
});

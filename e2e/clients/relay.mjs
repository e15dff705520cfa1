// npm relay-runtime: requestSubscription writes each result into a store, and what is printed is read from that store. Its network
// layer subscribes with graphql-ws, or with graphql-sse with a second argument `sse`.
import { readFileSync } from "node:fs";
import { buildSchema, getNamedType, getNullableType, isCompositeType, isListType, parse } from "graphql";
import { createClient as createStreams } from "graphql-sse";
import { createClient } from "graphql-ws";
import relay from "relay-runtime";
import { authorization, httpURL, options, sink, task, untilStdinEnds } from "./harness.mjs";

const { Environment, Network, Observable, RecordSource, Store, requestSubscription } = relay;

// selections does what Relay's compiler would: it describes a selection set for the store. A field that the schema does not have
// is a scalar, so that it is the server which refuses it.
function selections(set, parent) {
  return set.selections.map((field) => {
    const type = parent?.getFields()[field.name.value]?.type;
    const args = field.arguments.map((arg) => ({ kind: "Variable", name: arg.name.value, variableName: arg.value.name.value }));
    const common = { alias: field.alias?.value ?? null, args: args.length > 0 ? args : null, name: field.name.value, storageKey: null };
    const named = type && getNamedType(type);
    if (!isCompositeType(named) && !field.selectionSet) return { ...common, kind: "ScalarField" };
    return {
      ...common,
      kind: "LinkedField",
      concreteType: named.name,
      plural: isListType(getNullableType(type)),
      selections: selections(field.selectionSet, named),
    };
  });
}

function artifact(text) {
  const operation = parse(text).definitions[0];
  // The server's own directives stand in the schema without their definitions.
  const schema = buildSchema(readFileSync("schema.graphql", "utf8"), { assumeValidSDL: true });
  const name = operation.name?.value ?? "Orders";
  const described = selections(operation.selectionSet, schema.getSubscriptionType());
  const argumentDefinitions = operation.variableDefinitions.map((v) => ({ kind: "LocalArgument", name: v.variable.name.value, defaultValue: null }));
  return {
    kind: "Request",
    fragment: { kind: "Fragment", name, type: "Subscription", abstractKey: null, metadata: null, argumentDefinitions, selections: described },
    operation: { kind: "Operation", name, argumentDefinitions, selections: described },
    params: { kind: "Request", cacheID: "orders", id: null, metadata: {}, name, operationKind: "subscription", text },
  };
}

const streaming = process.argv[3] === "sse";
const retryWait = () => new Promise((resolve) => setTimeout(resolve, 50));
const connection = streaming
  ? createStreams({ url: httpURL, headers: () => ({ authorization: authorization() }), retryAttempts: Infinity, retry: retryWait })
  : createClient(options);

const environment = new Environment({
  store: new Store(new RecordSource()),
  network: Network.create(
    () => Promise.reject(new Error("this network layer subscribes only")),
    ({ text }, variables) => Observable.create((observer) => connection.subscribe({ query: text, variables }, observer)),
  ),
});
const subscription = requestSubscription(environment, {
  subscription: artifact(task.query),
  variables: task.variables ?? {},
  onNext: (data) => sink.next({ data }),
  // A result without data becomes an error whose source is the result.
  onError: (error) => sink.error(error.source ?? error),
  onCompleted: sink.complete,
});
untilStdinEnds(async () => {
  subscription.dispose();
  await connection.dispose();
});

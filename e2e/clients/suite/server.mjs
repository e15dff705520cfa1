// The cases of the server's side, without a client library.
import { acknowledged, assert, document, newKey, publish, raw, task, test, within, without, pause } from "./harness.mjs";

const ping = (id, key) => ({ id, type: "subscribe", payload: { query: document(key) } });
const query = (id, payload = { query: "{ __typename }" }) => ({ id, type: "subscribe", payload });

// subscribed starts a live subscription and leaves nothing on its way.
async function subscribed(peer, id, key) {
  peer.send(ping(id, key));
  const mine = (m) => m.id === id;
  await within((async () => { while (!peer.messages.some(mine)) { await publish(key, "probe"); await pause(20); } })(), "live");
  await publish(key, `end of ${id}`);
  for (let m; m?.payload?.data.ping.text !== `end of ${id}`; ) m = await peer.next();
}

test(["server11"], "credentials that are refused: 4403", async () => {
  const peer = await raw();
  peer.send({ type: "connection_init", payload: { authorization: "Bearer wrong" } });
  assert.deepEqual(await peer.closed(), { code: 4403, reason: "Forbidden" });
});

test(["server12", "server14"], "an init with credentials, without, with null and with an empty payload is acknowledged", async () => {
  for (const payload of [undefined, null, {}, { authorization: `Bearer ${task.secret}` }, { some: "string", number: 10 }]) {
    const peer = await raw();
    peer.send({ type: "connection_init", payload });
    assert.deepEqual(await peer.next(), { type: "connection_ack" });
    peer.socket.close();
  }
});

test(["server15"], "no init in time: 4408", async () => {
  assert.deepEqual(await (await raw()).closed(), { code: 4408, reason: "Connection initialisation timeout" });
});

test(["server17", "server18"], "two inits: 4429, at once or later", async () => {
  const reason = "Too many initialisation requests";
  let peer = await raw();
  peer.send({ type: "connection_init" }, { type: "connection_init" });
  assert.deepEqual(await peer.closed(), { code: 4429, reason });
  peer = await acknowledged();
  peer.send({ type: "connection_init" });
  assert.deepEqual(await peer.closed(), { code: 4429, reason });
});

test(["server19"], "a subscribe right behind the init waits for the acknowledgement or is refused with 4401, never lost", async () => {
  const peer = await acknowledged();
  peer.send(query("1"));
  assert.deepEqual(await peer.next(), { id: "1", type: "next", payload: { data: { __typename: "Query" } } });
});

test(["server20", "server21", "server22"], "ping is answered with its payload, also before init; pong is ignored", async () => {
  for (const peer of [await raw(), await acknowledged()]) {
    peer.send({ type: "ping" });
    assert.deepEqual(await peer.next(), { type: "pong" });
    peer.send({ type: "ping", payload: { a: [1, "ü"] } });
    assert.deepEqual(await peer.next(), { type: "pong", payload: { a: [1, "ü"] } });
    peer.send({ type: "pong" }, { type: "pong", payload: { b: 1 } });
    await peer.quiet();
    peer.socket.close();
  }
});

test(["server25"], "a subscribe without init: 4401", async () => {
  const peer = await raw();
  peer.send(query("1"));
  assert.deepEqual(await peer.closed(), { code: 4401, reason: "Unauthorized" });
});

test(["server31"], "a query: one next, then complete", async () => {
  const peer = await acknowledged();
  peer.send(query("1", { query: "query Named { __typename }", operationName: "Named", variables: {} }));
  assert.deepEqual(await peer.next(), { id: "1", type: "next", payload: { data: { __typename: "Query" } } });
  assert.deepEqual(await peer.next(), { id: "1", type: "complete" });
  await peer.quiet();
});

test(["server33", "server42", "server44"], "an operation that was completed at once: nothing more of it, and no complete back", async () => {
  const peer = await acknowledged();
  for (let i = 0; i < 20; i++) peer.send(ping(`s${i}`, "all"), { id: `s${i}`, type: "complete" });
  await subscribed(peer, "last", newKey());
  await publish("all", "x");
  await peer.quiet();
});

test(["server34"], "a document that is not valid: error with its places, the socket stays", async () => {
  const peer = await acknowledged();
  peer.send(query("1", { query: "query { testNumber\n testBoolean }" }));
  const answer = await peer.next();
  assert.deepEqual([answer.id, answer.type], ["1", "error"]);
  assert.deepEqual(answer.payload.map((e) => [e.message, e.locations]), [
    ['Cannot query field "testNumber" on type "Query".', [{ line: 1, column: 9 }]],
    ['Cannot query field "testBoolean" on type "Query".', [{ line: 2, column: 2 }]],
  ]);
  await peer.quiet();
});

test(["server35", "server36", "server40"], "events arrive until complete, which frees the id", async () => {
  const peer = await acknowledged();
  const key = newKey();
  await subscribed(peer, "1", key);
  for (const text of ["a", "b", "c"]) {
    await publish(key, text);
    assert.deepEqual(await peer.next(), { id: "1", type: "next", payload: { data: { ping: { text } } } });
  }
  peer.send({ id: "1", type: "complete" });
  await subscribed(peer, "2", newKey());
  await publish(key, "d");
  await peer.quiet();
  await subscribed(peer, "1", key);
});

test(["server37", "server38"], "an id that is in use: 4409, also while the first is being prepared", async () => {
  const reason = "Subscriber for not-unique already exists";
  let peer = await acknowledged();
  await subscribed(peer, "not-unique", newKey());
  peer.send(query("not-unique"));
  assert.deepEqual(await peer.closed(), { code: 4409, reason });
  peer = await acknowledged();
  peer.send(ping("not-unique", newKey()), ping("not-unique", newKey()));
  assert.deepEqual(await peer.closed(), { code: 4409, reason });
});

test(["server41", "server50", "server51"], "sockets that end abruptly leave no subscription", async () => {
  const key = newKey();
  for (let i = 0; i < 10; i++) {
    const peer = await acknowledged();
    peer.send(ping("1", key), ping("2", key));
    peer.socket.terminate();
  }
  const peer = await acknowledged();
  await subscribed(peer, "1", key);
});

test(["use1"], "without a subprotocol that we know none is answered, and the socket is closed with 4406", async () => {
  for (const protocols of [["notme", "notmeither"], "notme", ["graphql", "json"], "graphql-transport-wsgibberish", "graphql-ws"]) {
    await assert.rejects(raw(protocols), /Server sent no subprotocol/, String(protocols));
  }
  for (const protocols of ["graphql-transport-ws", ["this", "graphql-transport-ws", "one"]]) {
    const peer = await raw(protocols);
    assert.equal(peer.socket.protocol, "graphql-transport-ws");
    await peer.quiet();
    peer.socket.close();
  }
});

test(["use4", "use8"], "messages that are none: 4400 with a reason that fits", async () => {
  for (const text of ["", "{", "[]", '"x"', "null", '{"type":"nonsense"}', '{"type":1}', '{"type":"subscribe"}', '{"type":"complete"}', '{"type":"subscribe","id":"1","payload":{"query":1}}', '{"type":"ping","payload":"x"}', JSON.stringify({ type: "x".repeat(500) })]) {
    const peer = await raw();
    peer.send(text);
    const { code, reason } = await peer.closed();
    assert.equal(code, 4400, text);
    assert.ok(Buffer.byteLength(reason) <= 123 && reason.length > 0);
  }
});

without("it sets an option of the reference server (its functions for parsing, validating, execution, context, roots)", ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 26, 28, 30, 39].map((n) => `server${n}`));
without("our connection_ack has no payload; the session's scripts test that an acknowledgement can have one", "server13");
without("it needs a hook that is slow or fails inside the server; the session's scripts and driver tests have it", "server16", "server27", "server29", "server43", "server45", "server46", "server47");
without("it drives the reference server without a socket", "server23", "server24", "server52");
without("there are no queries that go on", "server32");
without("it looks at the reference server's callbacks; ours are metrics, which tests of the server read", "server48", "server49");
without("tests of drain have it: 1012, on which clients come back", "use2");
without("it looks at the reference server's context", "use3");
without("it sets an option of the reference server", "use5", "use6", "use7", "use9", "use10");

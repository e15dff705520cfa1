// The cases of the client's side: the real client against our server.
import { assert, client, document, gateway, live, newKey, pause, ping, publish, subscribe, task, test, until, url, WebSocket, within, without } from "./harness.mjs";

const one = { query: "{ __typename }" };
const typename = { data: { __typename: "Query" } };

test(["client1", "client2", "client38", "client39"], "connects at once when not lazy, to a URL from a function, and closes when disposed", async () => {
  const c = client({ lazy: false, url: () => Promise.resolve(url) });
  const [socket] = await within(new Promise((resolve) => c.on("connected", (...args) => resolve(args))), "connected");
  let closed;
  socket.addEventListener("close", (event) => (closed = event));
  await c.dispose();
  await until("closed", () => closed);
  assert.equal(closed.code, 1000);
  assert.equal(closed.wasClean, true);
});

test(["client5", "client7", "client17", "client18"], "an application error while connecting reaches the caller and closes in order", async () => {
  for (const options of [
    { on: { connected: () => { throw new Error("no"); } } },
    { connectionParams: () => { throw new Error("no"); } },
    { connectionParams: () => Promise.reject(new Error("no")) },
  ]) {
    const c = client(options);
    let closed;
    c.on("closed", (event) => (closed = event));
    assert.equal((await subscribe(c, one).failed()).message, "no");
    await until("closed", () => closed);
    assert.deepEqual([closed.wasClean, closed.reason], [true, "no"]);
  }
});

test(["client6"], "connectionParams are the credentials", async () => {
  for (const params of [{ authorization: `Bearer ${task.secret}` }, () => ({ authorization: `Bearer ${task.secret}` }), async () => ({ authorization: `Bearer ${task.secret}` })]) {
    const c = client({ connectionParams: params });
    assert.deepEqual(await subscribe(c, one).next(), typename);
    await c.dispose();
  }
  const refused = await subscribe(client({ connectionParams: { authorization: "Bearer wrong" } }), one).failed();
  assert.equal(refused.code, 4403);
});

test(["client8"], "connectionParams that take too long: 4408", async () => {
  const slow = () => pause(6_000);
  assert.equal((await subscribe(client({ connectionParams: slow }), one).failed()).code, 4408);
});

test(["client9", "client45"], "a subscription is disposed of after its socket is gone, twice", async () => {
  const g = await gateway();
  const c = client({ url: g.url });
  const sub = await ping(c);
  const other = await ping(c);
  other.dispose();
  other.dispose();
  await live(sub, sub.key);
  c.log.sockets[0].close();
  sub.dispose();
  sub.dispose();
  await sub.done();
  g.close();
});

test(["client10", "client34"], "a refused subscription is an error, not complete, and the client leaves", async () => {
  const c = client();
  const sub = subscribe(c, { query: "{ nothing }" });
  assert.match((await sub.failed())[0].message, /nothing/);
  await until("closed", () => c.log.sockets[0].readyState === WebSocket.CLOSED);
  assert.equal(sub.completed, false);
});

test(["client11", "client46"], "a lost connection without retries is an error, not complete", async () => {
  const g = await gateway();
  const sub = await ping(client({ url: g.url }));
  g.drop();
  assert.equal((await sub.failed()).code, 1006);
  assert.equal(sub.completed, false);
  g.close();
});

test(["client12"], "results pass a reviver", async () => {
  const c = client({ jsonMessageReviver: (key, value) => (key === "__typename" ? "REVIVED" : value) });
  assert.deepEqual(await subscribe(c, one).next(), { data: { __typename: "REVIVED" } });
});

test(["client13", "client15", "client50"], "what is no message of the protocol closes with 4400, which is not retried", async () => {
  const c = client({ retryAttempts: 5, jsonMessageReplacer: (key, value) => (key === "type" && value === "subscribe" ? "nonsense" : value) });
  assert.equal((await subscribe(c, one).failed()).code, 4400);
  assert.equal(c.log.sockets.length, 1);
});

test(["client21"], "terminate ends the socket at once, and the server frees the subscription", async () => {
  const c = client();
  const sub = await ping(c);
  c.terminate();
  assert.equal((await sub.failed()).code, 4499);
});

test(["client26", "client63"], "the client's keep-alive ping is answered", async () => {
  const c = client({ lazy: false, keepAlive: 50 });
  let pongs = 0;
  c.on("pong", (received) => (pongs += received ? 1 : 0));
  await until("pongs", () => pongs > 2);
  assert.ok(c.log.count("ping") > 2);
  await c.dispose();
});

test(["client27", "client33", "client36", "client68"], "a query gives one result, then complete, which is not answered", async () => {
  const c = client();
  const sub = subscribe(c, one);
  assert.deepEqual(await sub.next(), typename);
  await sub.done();
  await until("closed", () => c.log.sockets[0].readyState === WebSocket.CLOSED);
  assert.equal(c.log.count("complete"), 0);
  const all = [];
  for await (const result of client().iterate(one)) all.push(result);
  assert.deepEqual(all, [typename]);
});

test(["client28"], "operationName, variables and extensions may be missing or null", async () => {
  const c = client();
  for (const none of [undefined, null]) {
    await subscribe(c, { ...one, operationName: none, variables: none, extensions: none }).done();
  }
});

test(["client29", "client35", "client69"], "events arrive until the subscription is disposed of", async () => {
  const c = client({ lazy: false });
  const sub = await ping(c);
  await publish(sub.key, "a");
  await publish(sub.key, "b");
  assert.deepEqual([await sub.next(), await sub.next()], [{ data: { ping: { text: "a" } } }, { data: { ping: { text: "b" } } }]);
  sub.dispose();
  await sub.done();
  await until("complete is sent", () => c.log.count("complete") === 1);
  const other = await ping(c); // behind the complete
  await publish(sub.key, "c");
  await live(other, other.key);
  assert.deepEqual(sub.results, []);
  await c.dispose();
});

test(["client30"], "every subscription receives its own", async () => {
  const c = client();
  const [a, b] = [await ping(c), await ping(c)];
  await publish(a.key, "for a");
  assert.equal((await a.next()).data.ping.text, "for a");
  await publish(b.key, "for b");
  assert.equal((await b.next()).data.ping.text, "for b");
  const query = subscribe(c, one);
  assert.deepEqual(await query.next(), typename);
  await query.done();
  assert.deepEqual([a.results, b.results], [[], []]);
  await c.dispose();
});

test(["client31", "client32"], "ids are the client's choice", async () => {
  for (const id of ["mine", "ünï \" \\ 🧀", "x".repeat(255)]) {
    const c = client({ generateID: () => id });
    const sub = await ping(c);
    assert.ok(c.log.received.some((m) => m.type === "next" && m.id === id));
    sub.dispose();
    await c.dispose();
  }
});

test(["client37"], "one subscriber leaves while another comes, on one connection", async () => {
  const c = client();
  const first = await ping(c);
  first.dispose();
  const second = await ping(c);
  await first.done();
  assert.equal(c.log.sockets.length, 1);
  await publish(second.key, "x");
  assert.equal((await second.next()).data.ping.text, "x");
  await c.dispose();
});

test(["client40", "client41", "client42", "client43"], "a lazy client connects for the first subscription and leaves after the last", async () => {
  for (const lazyCloseTimeout of [0, 100]) {
    const c = client({ lazyCloseTimeout });
    assert.equal(c.log.sockets.length, 0);
    const [a, b] = [await ping(c), await ping(c)];
    a.dispose();
    await a.done();
    await live(b, b.key);
    b.dispose();
    await until("closed", () => c.log.sockets[0].readyState === WebSocket.CLOSED);
    assert.equal(c.log.sockets.length, 1);
  }
});

test(["client44", "client51", "client61", "client62", "client72"], "a server that cannot be reached", async () => {
  let reported;
  client({ url: "ws://127.0.0.1:1/graphql", lazy: false, onNonLazyError: (error) => (reported = error) });
  await until("reported", () => reported);
  const c = client({ url: "ws://127.0.0.1:1/graphql" });
  let event;
  c.on("error", (error) => (event = error));
  await subscribe(c, one).failed();
  assert.ok(event);
  await assert.rejects(async () => { for await (const _ of client({ url: "ws://127.0.0.1:1/graphql" }).iterate(one)); });
});

test(["client47", "client48", "client49", "client57"], "every subscription comes back after losses", async () => {
  for (const wait of [0, 150]) {
    const g = await gateway();
    const c = client({ url: g.url, retryAttempts: 3, retryWait: () => pause(wait) });
    const subs = [await ping(c), await ping(c), await ping(c)];
    for (let loss = 1; loss <= 4; loss++) {
      g.drop();
      for (const sub of subs) await live(sub, sub.key);
      assert.equal(g.served(), loss + 1);
    }
    await c.dispose();
    g.close();
  }
});

test(["client52", "client53"], "failed connects are retried as often as allowed, then reported", async () => {
  let tries = 0;
  const c = client({ url: () => (tries++, "ws://127.0.0.1:1/graphql"), retryAttempts: 2, retryWait: () => pause(1), shouldRetry: () => true });
  await subscribe(c, one).failed();
  assert.equal(tries, 3);
});

test(["client54", "client55", "client56"], "a client that lost its last subscription while away does not come back", async () => {
  const g = await gateway();
  const c = client({ url: g.url, retryAttempts: 1000, retryWait: () => pause(20), shouldRetry: () => true });
  const sub = await ping(c);
  g.away();
  const late = subscribe(c, { query: document(newKey()) });
  await pause(50);
  sub.dispose();
  late.dispose();
  await Promise.all([sub.done(), late.done()]);
  await g.back();
  const served = g.served();
  await pause(200);
  assert.equal(g.served(), served);
  g.close();
});

test(["client58"], "a subscription that begins while the socket closes gets another one", async () => {
  const c = client();
  await subscribe(c, one).done();
  assert.deepEqual(await subscribe(c, one).next(), typename);
});

test(["client59", "client60", "client65", "client66", "client67"], "events of the client's life come in order", async () => {
  const c = client({ lazy: false });
  const seen = [];
  for (const name of ["connecting", "opened", "connected", "message", "closed"]) c.on(name, (value) => seen.push(name === "message" ? value.type : name));
  const off = c.on("closed", () => seen.push("never"));
  off();
  off();
  await until("connected", () => seen.includes("connected"));
  await c.dispose();
  await until("closed", () => seen.includes("closed"));
  assert.deepEqual(seen, ["connecting", "opened", "connection_ack", "connected", "closed"].filter((n) => seen.includes(n)));
  assert.ok(!seen.includes("never"));
});

test(["client73", "client74", "client75"], "an iteration that is left completes its subscription", async () => {
  const c = client({ lazy: false });
  const leave = {
    break: async (i) => { for await (const _ of i) break; },
    throw: async (i) => { await assert.rejects(async () => { for await (const _ of i) throw new Error("left"); }); },
    return: async (i) => { await i.next(); await i.return(); },
  };
  let completes = 0;
  for (const way of Object.values(leave)) {
    const key = newKey();
    const iterator = c.iterate({ query: document(key) });
    let left = false;
    const leaving = way(iterator).then(() => (left = true));
    await within((async () => { while (!left) { await publish(key, "x"); await pause(20); } })(), "left");
    await leaving;
    completes++;
    await until("complete is sent", () => c.log.count("complete") === completes);
  }
  await c.dispose();
});

without("it checks what the client does with an argument of its own, before anything is sent", "client3");
without("our connection_ack has no payload; the session's scripts test that an acknowledgement can have one", "client4");
without("it needs a server that never acknowledges", "client14");
without("it needs a server that breaks the protocol", "client16", "client19", "client20");
without("our server pings with WebSocket frames, not with messages; frames are answered by the WebSocket library", "client22", "client23", "client24", "client25", "client64");
without("subscriptions of events have no resolver in the server process that could throw; engine tests have it", "client70", "client71");

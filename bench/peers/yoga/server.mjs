// GraphQL Yoga over server-sent events with its own pubsub.
import { createServer } from 'node:http'
import { createPubSub, createSchema, createYoga, filter, pipe } from 'graphql-yoga'
import { announce, every, lines, topic, typeDefs } from '../source.mjs'

const pubsub = createPubSub()
const schema = createSchema({
  typeDefs,
  resolvers: {
    Subscription: {
      tick: {
        subscribe: (_, { room, from, to }) =>
          room != null ? pubsub.subscribe(topic(room)) : pipe(pubsub.subscribe(every), filter((tick) => tick.room >= from && tick.room <= to)),
        resolve: (tick) => tick
      }
    }
  }
})
const server = createServer(createYoga({ schema, logging: false }))
const events = await lines((tick) => {
  pubsub.publish(topic(tick.room), tick)
  pubsub.publish(every, tick)
})
server.listen({ port: 0, host: '127.0.0.1', backlog: 2048 }, () => announce(server.address().port, events, ['graphql-yoga', 'graphql'], import.meta.url))

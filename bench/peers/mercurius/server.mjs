// Mercurius on Fastify with its own pubsub.
import Fastify from 'fastify'
import mercurius from 'mercurius'
import { announce, every, lines, topic, typeDefs } from '../source.mjs'

const app = Fastify()
await app.register(mercurius, {
  schema: typeDefs,
  resolvers: {
    Subscription: {
      tick: {
        subscribe: (root, { room, from, to }, { pubsub }) => {
          if (room != null) return pubsub.subscribe(topic(room))
          return mercurius.withFilter(() => pubsub.subscribe(every), ({ tick }) => tick.room >= from && tick.room <= to)(root, {}, { pubsub })
        }
      }
    }
  },
  subscription: true
})
const events = await lines((tick) => {
  app.graphql.pubsub.publish({ topic: topic(tick.room), payload: { tick } })
  app.graphql.pubsub.publish({ topic: every, payload: { tick } })
})
await app.listen({ port: 0, host: '127.0.0.1', backlog: 2048 })
announce(app.server.address().port, events, ['mercurius', 'fastify', 'graphql'], import.meta.url)

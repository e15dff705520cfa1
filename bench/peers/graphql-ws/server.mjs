// graphql-ws over ws, as its documentation sets them up.
import { createServer } from 'node:http'
import { buildSchema } from 'graphql'
import { useServer } from 'graphql-ws/use/ws'
import { WebSocketServer } from 'ws'
import { publish, ticks } from '../broadcast.mjs'
import { announce, lines, typeDefs } from '../source.mjs'

const schema = buildSchema(typeDefs)
schema.getSubscriptionType().getFields().tick.subscribe = (_, args) => ticks(args)

const server = createServer()
useServer({ schema }, new WebSocketServer({ server, path: '/graphql' }))
const events = await lines(publish)
server.listen({ port: 0, host: '127.0.0.1', backlog: 2048 }, () => announce(server.address().port, events, ['graphql-ws', 'ws', 'graphql'], import.meta.url))

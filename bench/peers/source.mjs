// What the Node.js peers share: the schema, where events come in, and an announcement of both addresses.
import { createServer } from 'node:net'
import { readFileSync } from 'node:fs'

export const typeDefs = `
  type Query { ok: Boolean }
  type Subscription { tick(room: Int, from: Int, to: Int): Tick! }
  type Tick { room: Int! seq: Int! sent: Int! sum: Int! pad: String! }
`

/** The topic of an event, and of a subscription that names its room; ranges look at every event. */
export const topic = (room) => `room ${room}`
export const every = 'every'

/** Takes events as lines of JSON, whose `data` is published. */
export function lines(publish) {
  return new Promise((resolve) => {
    const server = createServer((socket) => {
      let rest = ''
      socket.setEncoding('utf8')
      socket.on('data', (text) => {
        const all = (rest + text).split('\n')
        rest = all.pop()
        for (const line of all) publish(JSON.parse(line).data)
      })
      socket.on('error', () => {})
    })
    server.listen(0, '127.0.0.1', () => resolve(server.address().port))
  })
}

/** Says where the server is, as a line of JSON. */
export function announce(port, eventsPort, packages, from) {
  const versions = { node: process.version.slice(1) }
  for (const name of packages) {
    versions[name] = JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, from))).version
  }
  console.log(JSON.stringify({ url: `http://127.0.0.1:${port}/graphql`, publish_url: `tcp://127.0.0.1:${eventsPort}`, versions }))
}

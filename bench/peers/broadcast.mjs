// An in-process broadcast for peers that bring none: a queue per subscriber, read by an async iterator.
import { every, topic } from './source.mjs'

const topics = new Map()

function deliver(name, event) {
  for (const push of topics.get(name) ?? []) push(event)
}

export function publish(event) {
  deliver(topic(event.room), event)
  deliver(every, event)
}

/** The events of a room, or those whose room lies in a range. */
export async function* ticks({ room, from, to }) {
  const name = room == null ? every : topic(room)
  const queue = []
  let wake = () => {}
  const push = (event) => {
    if (room == null && (event.room < from || event.room > to)) return
    queue.push(event)
    wake()
  }
  const listeners = topics.get(name) ?? new Set()
  topics.set(name, listeners.add(push))
  try {
    for (;;) {
      while (queue.length > 0) yield { tick: queue.shift() }
      await new Promise((resolve) => { wake = resolve })
    }
  } finally {
    listeners.delete(push)
  }
}

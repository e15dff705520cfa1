"""What tests of the executor subscribe to, and what they receive."""

from __future__ import annotations

import json

USERS = "subscription { users { id } }"
SCHEMA = """
type Order { id: ID! total: Float note: String margin: Float @requiresRole(roles: ["accounting"]) cost: Float @requiresScopes(scopes: [["cost"]]) }
type Subscription {
  orders(id: ID, minTotal: Float @match(path: "total", op: GTE)): Order!
  mine: Order! @source(channel: "orders") @owner(path: "owner")
  secret: Order! @source(channel: "orders") @authenticated
}
"""


def message(id_: str, field: str, value: object) -> bytes:
    """The message for a subscription whose root field has that value."""
    payload = json.dumps({"data": {field: value}}, separators=(",", ":"))
    return f'{{"id":"{id_}","type":"next","payload":{payload}}}'.encode()

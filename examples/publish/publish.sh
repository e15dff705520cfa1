#!/usr/bin/env bash
# Publishes events to a FraiseQL server with curl: one, several in order, and a stream of lines.
#   FRAISEQL_URL=http://127.0.0.1:4000 FRAISEQL_TOKEN=… examples/publish/publish.sh
set -euo pipefail

url=${FRAISEQL_URL:-http://127.0.0.1:4000}/events
credentials=()
[ -n "${FRAISEQL_TOKEN:-}" ] && credentials=(-H "Authorization: Bearer $FRAISEQL_TOKEN")

post() { # content type; the body comes from standard input
  curl -sS --fail-with-body -X POST "$url" ${credentials[@]+"${credentials[@]}"} -H "Content-Type: $1" --data-binary @-
  echo
}

# One event.
post application/json <<'JSON'
{"channel": "orders", "type": "order.created", "tenant_id": "acme", "data": {"id": "1", "status": "PLACED", "total": 20}}
JSON

# Several: all of them are valid, or none is published.
post application/json <<'JSON'
[
  {"channel": "orders", "type": "order.changed", "tenant_id": "acme", "data": {"id": "1", "status": "PAID", "total": 20}},
  {"channel": "orders", "type": "order.changed", "tenant_id": "acme", "data": {"id": "1", "status": "SHIPPED", "total": 20}}
]
JSON

# Lines, as programs that write logs produce them.
for id in 2 3 4; do
  printf '{"channel":"orders","type":"order.created","tenant_id":"acme","data":{"id":"%s","status":"PLACED","total":%s}}\n' "$id" "$((id * 10))"
done | post application/x-ndjson

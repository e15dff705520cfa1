module peer/graph-gophers

go 1.26.0

require (
	github.com/coder/websocket v1.8.15
	github.com/graph-gophers/graphql-go v1.11.0
	peer/source v0.0.0
)

replace peer/source => ../source

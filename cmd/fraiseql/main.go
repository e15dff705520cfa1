// Command fraiseql serves GraphQL subscriptions.
package main

func main() {}

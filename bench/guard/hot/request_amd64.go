package main

// request passes a client request to valgrind.
//
//go:noescape
func request(args *[6]uint64)

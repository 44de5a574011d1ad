// Package relay carries the packets of streams between their parties. A few loops, each the owner
// of many sockets, read what waits on them in bursts and pass it on. A packet costs no lock, no
// allocation and no log line; whoever wants to change or read a stream does it inside the loop, by Do.
package relay

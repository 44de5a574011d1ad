// Package udpio is UDP on raw descriptors without allocation: batches of datagrams by recvmmsg and
// sendmmsg, socket addresses as the kernel writes them, and sockets with the options we need.
//
// Every socket is of one IP version: IPv6 sockets have IPV6_V6ONLY set.
package udpio

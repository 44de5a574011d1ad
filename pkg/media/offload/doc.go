// Package offload lets the kernel pass media on by itself: a program at the ingress of the network
// interfaces, written in its instructions here, and the maps by which it is told what to do. Loading it
// takes privilege; who has the maps needs none.
package offload

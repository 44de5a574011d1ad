// Package offload lets the kernel pass media on by itself: a program at the ingress of the network
// interfaces, written in its instructions here, and the maps by which it is told what to do, or else the
// packet filter, which netd tells for mediad. Loading the program takes privilege; who has the maps needs none.
package offload

import (
	"context"

	"github.com/coraltele/sanchar/pkg/media/relay"
)

// Path is how the kernel is made to pass media on, as mediad uses it: Kernel or Filter.
type Path interface {
	// Find looks for the routes that a flow needs, unless it is known how that ended.
	Find(f *Flow) error
	// Start makes the kernel pass a flow on. It looks for no routes.
	Start(f Flow) (relay.Bypass, error)
	// Passed returns what was counted for a bypass of which p is known.
	Passed(p relay.Passed) relay.Passed
	// Clear makes the kernel pass nothing on: what a mediad before us told it.
	Clear() error
	// Reroute tells the kernel how the parties are reached now.
	Reroute() error
	// Deferred reports whether what is begun and closed takes a while. Settle waits until all is over that
	// was closed before.
	Deferred() bool
	Settle(ctx context.Context)
	// Close lets go of the path. The kernel goes on with what it was told.
	Close() error
}

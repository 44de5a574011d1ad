//go:build !race

// Package racing tells tests whether the race detector watches: it makes allocations of its own.
package racing

// On reports whether the race detector watches.
const On = false

//go:build race

package racing

// On reports whether the race detector watches.
const On = true

// Package layers holds the house rules as tests: who may import whom, what every package and
// exported name must say of itself, how an RFC is cited, and that no package keeps state.
package layers

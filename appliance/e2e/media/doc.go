// Package media tests, from outside, what becomes of voice between phones: behind every sort of NAT, between
// codecs, while it is recorded, and when something is wrong with it.
package media

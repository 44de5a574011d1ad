// Package network holds the end-to-end tests of calls through a box that owns its network: phones
// in a VLAN behind its address translation, and uplinks that change.
package network

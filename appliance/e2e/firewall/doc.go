// Package firewall holds the end-to-end tests of the box behind its packet filter.
package firewall

// Package netmon watches the kernel's links and addresses.
package netmon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

const (
	// One change makes several messages: a link goes up, gets a carrier, then addresses.
	settle     = 100 * time.Millisecond
	retryAfter = time.Second
	dumpTries  = 5 // each is interrupted only by a change
)

// Monitor holds the links as the kernel last reported them. Its methods may be called from any goroutine.
type Monitor struct {
	log *slog.Logger
	now atomic.Pointer[snapshot]
}

// snapshot is one state of all links; it is replaced whole.
type snapshot struct {
	links    []ctl.Link
	replaced chan struct{} // closed when there is a newer one
}

// New returns a monitor that knows no link until it runs.
func New(log *slog.Logger) *Monitor {
	m := &Monitor{log: log}
	m.now.Store(&snapshot{replaced: make(chan struct{})})
	return m
}

// Links returns all links in the order of their indexes, nil before the first look at the kernel,
// and a channel that is closed when they have changed. A slow reader misses states, never the newest.
func (m *Monitor) Links() (links []ctl.Link, changed <-chan struct{}) {
	s := m.now.Load()
	return s.links, s.replaced
}

// Run follows the kernel until ctx ends.
func (m *Monitor) Run(ctx context.Context) error {
	for {
		err := m.follow(ctx)
		if ctx.Err() != nil {
			return nil
		}
		m.log.Error("links are not followed, trying again", "err", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retryAfter):
		}
	}
}

// follow subscribes before it looks, so that no change falls between.
func (m *Monitor) follow(ctx context.Context) error {
	sock, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return fmt.Errorf("subscribe to links: %w", err)
	}
	changes, failed := make(chan struct{}, 1), make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() { failed <- receive(sock, changes) })
	defer wg.Wait()
	defer sock.Close()
	for {
		if err := m.refresh(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-changes:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(settle):
		}
		select { // what came meanwhile is seen by the look that follows
		case <-changes:
		default:
		}
	}
}

// receive tells that something changed, whatever it was, until the socket is closed.
func receive(sock *nl.NetlinkSocket, changes chan<- struct{}) error {
	for {
		_, _, err := sock.Receive()
		if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR) { // messages lost are changes too
			return fmt.Errorf("receive link changes: %w", err)
		}
		select {
		case changes <- struct{}{}:
		default:
		}
	}
}

// refresh looks at the kernel and publishes what it finds if it is new.
func (m *Monitor) refresh() error {
	links, err := dump()
	for try := 1; try < dumpTries && errors.Is(err, netlink.ErrDumpInterrupted); try++ {
		links, err = dump()
	}
	if err != nil {
		return err
	}
	old := m.now.Load()
	if old.links != nil && reflect.DeepEqual(old.links, links) {
		return nil
	}
	m.now.Store(&snapshot{links: links, replaced: make(chan struct{})})
	close(old.replaced)
	m.log.Debug("links", "links", links)
	return nil
}

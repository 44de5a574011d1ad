package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// mediad is ours.
type mediad struct {
	path   string
	kind   kind
	netd   string // empty: the kernel passes no media on
	way    string // in which it does
	cpu    int
	title  string
	ports  string
	args   []string
	dir    string
	cmd    *exec.Cmd
	helper *exec.Cmd // netd
	client ctl.Media
}

func (m *mediad) name() string { return m.title }

func (m *mediad) start(ctx context.Context, w *world) (err error) {
	if m.dir, err = os.MkdirTemp("", "md-bench-"); err != nil {
		return err
	}
	if m.netd != "" {
		m.helper = w.command(ctx, m.cpu, m.netd, "--run", m.dir, "--data", m.dir, "--offload", m.way, "--log", "warn")
		m.helper.Stderr = os.Stderr
		if err := m.helper.Start(); err != nil {
			return err
		}
	}
	args := append([]string{m.path, "--run", m.dir, "--data", m.dir, "--ports", m.ports, "--log", "warn"}, m.args...)
	m.cmd = w.command(ctx, m.cpu, args...)
	m.cmd.Stderr = os.Stderr
	if err := m.cmd.Start(); err != nil {
		return err
	}
	m.client = ctl.NewMedia(filepath.Join(m.dir, "media.sock"))
	return poll(ctx, func() error {
		_, err := m.client.Status(ctx)
		return err
	})
}

func (m *mediad) call(ctx context.Context, i int) (p relayPorts, err error) {
	a, b := party(i)
	id := callID(i)
	offered, err := m.client.Offer(ctx, ctl.MediaOffer{
		Session: id, Leg: legOf("a", a), Peer: ctl.MediaLeg{ID: "b", Local: netip.MustParseAddr(relayIP), Ours: m.terms()},
	})
	if err != nil {
		return p, fmt.Errorf("offer: %w", err)
	}
	answered := legOf("b", b)
	answered.Ours = m.terms()
	switch m.kind {
	case secured:
		answered.Streams[0].Protection, answered.Streams[0].Crypto = ctl.SDES, []ctl.MediaCrypto{{Tag: 1, Suite: suite, Key: partyKey()}}
	case transcoded:
		answered.Streams[0].Formats = []ctl.MediaFormat{{PayloadType: 8, Encoding: "PCMA", ClockRate: 8000}}
	case plain, recorded:
	}
	if err := m.client.Answer(ctx, ctl.MediaAnswer{Session: id, Leg: answered, Peer: "a"}); err != nil {
		return p, fmt.Errorf("answer: %w", err)
	}
	p.kind = m.kind
	if p.a = offered.Leg[0].RTP; m.kind == plain || m.kind == recorded {
		p.b = offered.Peer[0].RTP
	}
	if m.kind == recorded {
		return p, m.client.Record(ctx, ctl.MediaRecord{
			Session: id, ID: ids.Record(time.Now()), Do: ctl.RecordStart, Legs: []ctl.MediaRecordLeg{{Leg: "a"}, {Leg: "b", Channel: 1}}, Format: "opus",
		})
	}
	return p, nil
}

func (m *mediad) hangUp(ctx context.Context, i int) error {
	_, err := m.client.CloseSession(ctx, ctl.MediaClose{Session: callID(i)})
	return err
}

// terms are what B is offered.
func (m *mediad) terms() (t ctl.MediaTerms) {
	if m.kind == secured {
		t = ctl.MediaTerms{Protection: ctl.SDES, Suites: []string{suite}, Setup: "actpass"}
	}
	return t
}

func callID(i int) string { return "call-" + strconv.Itoa(i) }

func legOf(id string, at netip.AddrPort) ctl.MediaLeg {
	return ctl.MediaLeg{ID: id, Local: netip.MustParseAddr(relayIP), Source: at.Addr(), Streams: []ctl.MediaStream{{
		Kind: "audio", RTP: at, Formats: []ctl.MediaFormat{{PayloadType: 0, Encoding: "PCMU", ClockRate: 8000}},
	}}}
}

func (m *mediad) pids() []int {
	pids := []int{m.cmd.Process.Pid}
	if m.helper != nil {
		pids = append(pids, m.helper.Process.Pid)
	}
	return pids
}

// settleTime is how long all calls may take until the kernel passes them on.
const settleTime = time.Minute

// settle waits until the kernel passes all calls on, if it is to.
func (m *mediad) settle(ctx context.Context, calls int) error {
	if m.netd == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for {
		st, err := m.client.Status(ctx)
		switch {
		case err != nil:
			return fmt.Errorf("the kernel passes %d of %d streams on: %w", st.Offloaded, 2*calls, err)
		case st.Offloaded == 2*calls:
			return nil
		}
		rest(ctx, 50*time.Millisecond)
	}
}

func (m *mediad) stop() error {
	err := errors.Join(m.client.Close(), stopProcess(m.cmd))
	if m.helper != nil {
		err = errors.Join(err, stopProcess(m.helper))
	}
	return errors.Join(err, os.RemoveAll(m.dir))
}

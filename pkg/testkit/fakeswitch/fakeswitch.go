// Package fakeswitch is a switchd for tests of others: it keeps the contract of ctl.Switch over a
// real unix socket, with accounts, bindings and calls that the test moves.
package fakeswitch

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Switch is a fake switchd. Its methods may be called from any goroutine.
type Switch struct {
	Socket string

	t    testing.TB
	ca   *authority
	stop func() // of the server that runs, nil when it is away

	mu        sync.Mutex // guards what follows
	domain    string
	users     map[string]ctl.User
	passwords map[string]string // by name of the user
	devices   map[string]string // ids of users by the logins of their devices
	regs      map[string]ctl.Registration
	calls     map[string]ctl.LiveCall
	alarms    []ctl.Alarm
	push      ctl.PushSettings
	recording ctl.RecordingSettings
	recorded  map[string]string // call id -> what was asked last, and by whom
	hungUp    map[string]string // call id -> by
	subs      map[chan ctl.SwitchEvent]bool
	chat      ctl.ChatPolicy
	media     ctl.MediaPolicyState
	sent      []ctl.NewMessage
}

// Start runs a fake switchd on socket until the test ends. A domain that is not "" is preset.
func Start(t testing.TB, socket, domain string) *Switch {
	t.Helper()
	s := &Switch{
		Socket: socket, t: t, ca: newAuthority(t), domain: domain, users: map[string]ctl.User{}, passwords: map[string]string{}, devices: map[string]string{}, regs: map[string]ctl.Registration{},
		calls: map[string]ctl.LiveCall{}, chat: ctl.ChatPolicy{KeepDays: 7}, hungUp: map[string]string{}, recorded: map[string]string{}, subs: map[chan ctl.SwitchEvent]bool{},
	}
	s.Return()
	t.Cleanup(s.Leave)
	return s
}

// Return makes it answer again after Leave.
func (s *Switch) Return() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := ctl.Serve(ctx, s.Socket, s.handler(), slog.New(slog.DiscardHandler)); err != nil {
			s.t.Error(err)
		}
	}()
	s.stop = func() { cancel(); <-done }
	client := ctl.NewSwitch(s.Socket)
	for range 2000 {
		if _, err := client.Status(s.t.Context()); err == nil || s.t.Context().Err() != nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
	s.t.Error("the fake switchd does not answer")
}

// Leave makes it unreachable, as a crash does; what it knows stays.
func (s *Switch) Leave() {
	if s.stop != nil {
		s.stop()
		s.stop = nil
	}
}

func (s *Switch) handler() http.Handler {
	mux := http.NewServeMux()
	ctl.Handle(mux, "GET /v1/status", func(*http.Request, ctl.None) (ctl.SwitchStatus, error) { return s.status(), nil })
	ctl.Handle(mux, "PUT /v1/domain", func(_ *http.Request, in ctl.Domain) (ctl.None, error) { return ctl.None{}, s.setDomain(in.Domain) })
	s.handleUsers(mux)
	s.handleMessages(mux)
	ctl.Handle(mux, "GET /v1/registrations", func(*http.Request, ctl.None) ([]ctl.Registration, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return slices.Collect(maps.Values(s.regs)), nil
	})
	ctl.Handle(mux, "GET /v1/calls", func(*http.Request, ctl.None) ([]ctl.LiveCall, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return slices.Collect(maps.Values(s.calls)), nil
	})
	ctl.Handle(mux, "DELETE /v1/calls/{id}", func(r *http.Request, _ ctl.None) (ctl.None, error) {
		return ctl.None{}, s.hangUp(r.PathValue("id"), r.URL.Query().Get("by"))
	})
	ctl.Handle(mux, "GET /v1/chat/policy", func(*http.Request, ctl.None) (ctl.ChatPolicy, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.chat, nil
	})
	ctl.Handle(mux, "PUT /v1/chat/policy", func(_ *http.Request, in ctl.ChatPolicy) (ctl.None, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.chat = in
		return ctl.None{}, nil
	})
	ctl.Stream(mux, "GET /v1/events", s.stream)
	ctl.Handle(mux, "POST /v1/certificates", func(_ *http.Request, in ctl.CertificateRequest) (ctl.Certificate, error) {
		return s.ca.sign(in)
	})
	ctl.Handle(mux, "POST /v1/digest", s.digest)
	s.handlePush(mux)
	s.handleMedia(mux)
	s.handleRecording(mux)
	ctl.Handle(mux, "GET /v1/ca", func(*http.Request, ctl.None) (ctl.Certificate, error) {
		return ctl.Certificate{PEM: string(s.ca.pem)}, nil
	})
	return mux
}

func (s *Switch) status() ctl.SwitchStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ctl.SwitchStatus{
		Version: "fake", Started: time.Now(), Domain: s.domain, Users: len(s.users), Registrations: len(s.regs), Calls: len(s.calls),
		Alarms: slices.Clone(s.alarms), Listeners: []ctl.Listener{
			{Transport: "udp", Address: netip.MustParseAddrPort("0.0.0.0:5060")},
			{Transport: "tcp", Address: netip.MustParseAddrPort("0.0.0.0:5060")},
			{Transport: "tls", Address: netip.MustParseAddrPort("0.0.0.0:5061")},
		},
	}
}

func (s *Switch) setDomain(d string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.domain != "":
		return problem.New(problem.Conflict, "domain.set", "the domain is set already", "keep it: every secret contains it")
	case d == "" || d == "not a domain":
		return problem.Fields("domain", []problem.Fault{{Path: "domain", Value: d, Rule: "a host name", Cure: "for instance pbx.example"}})
	}
	s.domain = d
	return nil
}

// Domain returns the domain that was set.
func (s *Switch) Domain() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.domain
}

func (s *Switch) hangUp(id, by string) error {
	s.mu.Lock()
	_, ok := s.calls[id]
	if ok {
		s.hungUp[id] = by
	}
	s.mu.Unlock()
	if !ok {
		return problem.New(problem.Missing, "call.missing", "there is no such call", "it may be over")
	}
	s.EndCall(id)
	return nil
}

// HungUp returns who ended a call from the page.
func (s *Switch) HungUp(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hungUp[id]
}

// stream sends all bindings and calls, then what changes.
func (s *Switch) stream(r *http.Request, emit func(any) error) error {
	ch := make(chan ctl.SwitchEvent, 1000)
	s.mu.Lock()
	var first []ctl.SwitchEvent
	for _, reg := range s.regs {
		first = append(first, ctl.SwitchEvent{Registered: &reg})
	}
	for _, c := range s.calls {
		first = append(first, ctl.SwitchEvent{Call: &c})
	}
	s.subs[ch] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.subs, ch)
		s.mu.Unlock()
	}()
	for _, ev := range first {
		if err := emit(ev); err != nil {
			return err
		}
	}
	for {
		select {
		case <-r.Context().Done():
			return nil
		case ev := <-ch:
			if err := emit(ev); err != nil {
				return err
			}
		}
	}
}

func (s *Switch) emitLocked(ev ctl.SwitchEvent) {
	for ch := range s.subs {
		ch <- ev
	}
}

// Register adds a binding.
func (s *Switch) Register(reg ctl.Registration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.regs[reg.ID] = reg
	s.emitLocked(ctl.SwitchEvent{Registered: &reg})
}

// Unregister removes a binding.
func (s *Switch) Unregister(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reg := s.regs[id]
	delete(s.regs, id)
	s.emitLocked(ctl.SwitchEvent{Unregistered: &reg})
}

// SetCall makes a call, or changes it.
func (s *Switch) SetCall(c ctl.LiveCall) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[c.ID] = c
	s.emitLocked(ctl.SwitchEvent{Call: &c})
}

// EndCall ends a call.
func (s *Switch) EndCall(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.calls, id)
	s.emitLocked(ctl.SwitchEvent{CallEnded: id})
}

// Raise raises an alarm.
func (s *Switch) Raise(a ctl.Alarm) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alarms = append(s.alarms, a)
	s.emitLocked(ctl.SwitchEvent{Alarm: &a})
}

// Clear ends an alarm.
func (s *Switch) Clear(code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alarms = slices.DeleteFunc(s.alarms, func(a ctl.Alarm) bool { return a.Code == code })
	s.emitLocked(ctl.SwitchEvent{AlarmEnded: code})
}

// HA1 is MD5(user:domain:password) (RFC 7616 §3.4.2).
func HA1(user, domain, password string) string {
	sum := md5.Sum([]byte(user + ":" + domain + ":" + password))
	return hex.EncodeToString(sum[:])
}

func newID() string { return fmt.Sprintf("u-%s", ids.Random(5)) }

// Package push wakes devices that cannot be reached now, through those who can: the enterprise's
// own relay, Apple's servers, Google's (RFC 8599 §4).
package push

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/sip/pn"
)

// Limits.
const (
	maxWaiting = 2000 // notes; a box that is full of them does not help its users by more
	maxSending = 32   // at a time
	maxTries   = 6
	retryFirst = time.Second
	retryLast  = 30 * time.Second
	sendTime   = 15 * time.Second // of one try
	maxDevices = 50_000           // of which anything is known
	// A device is woken for maxCalls calls within callsTime: who dials again and again does not keep
	// it from sleeping. One that was woken for so many and did not come won't for another.
	maxCalls  = 6
	callsTime = time.Minute
)

// Device is who is to be woken.
type Device struct {
	Key string // of its binding
	pn.Params
}

// Note is why.
type Note struct {
	ID       string // unique
	Use      pn.Use
	Group    bool
	CallID   string
	From     string // URI
	FromName string
	To       string    // URI
	Until    time.Time // it is of no use later
	Failed   func()    // told that the device will not wake for it; nil for who does not care; must not block
}

// Sender carries a note to a provider.
type Sender interface {
	Send(ctx context.Context, d Device, n Note) error
}

// What a sender finds. Any other error is tried again.
var (
	ErrGone    = errors.New("the app is not on the device any more")
	ErrRefused = errors.New("the provider refuses the note")
	// ErrUnable: the device's parameters do not say how to wake it for this.
	ErrUnable = errors.New("the device cannot be woken for this")
)

// Config says who sends.
type Config struct {
	Senders map[string]Sender   // by provider; that of "" sends for all others
	Watch   func(device string) // told of each change of a device's health; must not block
	Log     *slog.Logger
}

// Pusher sends notes in the background. Its methods may be called from any goroutine.
type Pusher struct {
	log   *slog.Logger
	watch func(device string)
	queue chan *job

	mu      sync.Mutex // guards what follows
	senders map[string]Sender
	waiting map[string]*job
	devices map[string]*state
}

// state is what is known of a device.
type state struct {
	health ctl.PushHealth
	gone   string      // token that the provider does not know any more
	calls  []time.Time // of the latest notes of calls
}

// job is a note on its way. A device has one at a time for each reason.
type job struct {
	device Device
	note   Note
	sender Sender
	key    string
	cancel context.CancelFunc // nil until it is being sent
	over   bool
}

// New returns a pusher. Notes wait for Run.
func New(cfg Config) *Pusher {
	return &Pusher{
		log: cfg.Log, watch: cfg.Watch, queue: make(chan *job, maxWaiting), senders: cfg.Senders, waiting: map[string]*job{}, devices: map[string]*state{},
	}
}

// Use replaces who sends, for notes that come from now on.
func (p *Pusher) Use(senders map[string]Sender) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.senders = senders
}

// Wake sends a note to a device and does not wait for it. It reports whether the device is being
// woken: one note for messages is enough, the app fetches all that wait.
func (p *Pusher) Wake(d Device, n Note) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	sender := p.senderLocked(d.Provider)
	j := &job{device: d, note: n, sender: sender, key: d.Key + "\x00" + string(n.Use)}
	if n.Use == pn.Call {
		j.key += "\x00" + n.CallID
	}
	switch {
	case p.waiting[j.key] != nil:
		return true
	case sender == nil || !p.mayLocked(d, n):
		return false
	}
	select {
	case p.queue <- j:
		p.waiting[j.key] = j
		return true
	default:
		p.log.Warn("a device is not woken: too many wait for it", "device", d.Key)
		return false
	}
}

// mayLocked reports whether a note makes sense: the app is on the device, and was not woken for
// many calls just now.
func (p *Pusher) mayLocked(d Device, n Note) bool {
	s := p.stateLocked(d.Key)
	switch {
	case s == nil:
		return true
	case s.gone == d.PRID:
		return false
	case n.Use != pn.Call:
		return true
	}
	now := time.Now()
	s.calls = slices.DeleteFunc(s.calls, func(at time.Time) bool { return now.Sub(at) >= callsTime })
	if len(s.calls) >= maxCalls {
		return false
	}
	s.calls = append(s.calls, now)
	return true
}

// stateLocked returns what is known of a device, nil for one too many.
func (p *Pusher) stateLocked(device string) *state {
	s := p.devices[device]
	if s == nil && len(p.devices) < maxDevices {
		s = &state{}
		p.devices[device] = s
	}
	return s
}

// Cancel gives up the notes of a call, which was answered or is over.
func (p *Pusher) Cancel(callID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, j := range p.waiting {
		if j.note.Use == pn.Call && j.note.CallID == callID {
			j.over = true
			if j.cancel != nil {
				j.cancel()
			}
		}
	}
}

func (p *Pusher) senderLocked(provider string) Sender {
	if s := p.senders[provider]; s != nil {
		return s
	}
	return p.senders[""]
}

// Health tells whether a device can be woken, and how it went.
func (p *Pusher) Health(d Device) (h ctl.PushHealth) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.devices[d.Key]
	if s != nil {
		h = s.health
	}
	h.Able = p.senderLocked(d.Provider) != nil && (s == nil || s.gone != d.PRID)
	return h
}

// Registered tells that a device has registered anew: it is woken again, whatever its provider said.
func (p *Pusher) Registered(device string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.devices[device]; s != nil {
		s.gone = ""
		if s.health.Fault == ctl.PushGone {
			s.health.Error, s.health.Fault = "", ""
		}
	}
}

// Forget drops what is known of a device that is gone.
func (p *Pusher) Forget(device string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.devices, device)
}

// Run sends until ctx ends, and returns when nothing is on its way any more.
func (p *Pusher) Run(ctx context.Context) error {
	var wait sync.WaitGroup
	defer wait.Wait()
	for range maxSending {
		wait.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case j := <-p.queue:
					p.deliver(ctx, j)
				}
			}
		})
	}
	return nil
}

// deliver tries until the note is taken, cannot be, or is of no use any more.
func (p *Pusher) deliver(ctx context.Context, j *job) {
	ctx, cancel := context.WithDeadline(ctx, j.note.Until)
	defer cancel()
	p.mu.Lock()
	j.cancel = cancel
	over := j.over
	p.mu.Unlock()
	var err error
	if !over {
		err = p.try(ctx, j)
	}
	p.mu.Lock()
	over = j.over
	delete(p.waiting, j.key)
	p.mu.Unlock()
	if err != nil && !over && j.note.Failed != nil {
		j.note.Failed()
	}
}

// try sends a note until it is taken or nothing helps, and returns the last error.
func (p *Pusher) try(ctx context.Context, j *job) error {
	pause := retryFirst
	for n := 1; ; n++ {
		once, cancel := context.WithTimeout(ctx, sendTime)
		err := j.sender.Send(once, j.device, j.note)
		cancel()
		p.note(j, err)
		if err == nil || n == maxTries || fault(err) != ctl.PushTrouble {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
		pause = min(2*pause, retryLast)
	}
}

// fault says what kind of error it is.
func fault(err error) string {
	switch {
	case errors.Is(err, ErrGone):
		return ctl.PushGone
	case errors.Is(err, ErrRefused):
		return ctl.PushRefused
	case errors.Is(err, ErrUnable):
		return ctl.PushUnable
	}
	return ctl.PushTrouble
}

// note keeps how a try went.
func (p *Pusher) note(j *job, err error) {
	p.mu.Lock()
	s := p.stateLocked(j.device.Key)
	if s == nil || (err != nil && j.over) { // one that was given up says nothing of the provider
		p.mu.Unlock()
		return
	}
	h := &s.health
	h.Tried, h.Error, h.Fault = time.Now().UTC(), "", ""
	if err == nil {
		h.Sent = h.Tried
	} else {
		h.Error, h.Fault = err.Error(), fault(err)
		p.log.Debug("a device was not woken", "device", j.device.Key, "err", err)
	}
	if h.Fault == ctl.PushGone {
		s.gone = j.device.PRID
	}
	p.mu.Unlock()
	if p.watch != nil {
		p.watch(j.device.Key)
	}
}

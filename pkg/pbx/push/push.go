// Package push wakes devices that cannot be reached now, through those who can: the enterprise's
// own relay, Apple's servers, Google's (RFC 8599 §4).
package push

import (
	"context"
	"errors"
	"log/slog"
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
	maxDevices = 50_000           // whose health is known
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
	Senders map[string]Sender // by provider; that of "" sends for all others
	Log     *slog.Logger
}

// Pusher sends notes in the background. Its methods may be called from any goroutine.
type Pusher struct {
	log   *slog.Logger
	queue chan *job

	mu      sync.Mutex // guards what follows
	senders map[string]Sender
	waiting map[string]*job
	health  map[string]ctl.PushHealth
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
		log: cfg.Log, queue: make(chan *job, maxWaiting), senders: cfg.Senders, waiting: map[string]*job{}, health: map[string]ctl.PushHealth{},
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
	sender := p.senders[d.Provider]
	if sender == nil {
		sender = p.senders[""]
	}
	if sender == nil {
		return false
	}
	j := &job{device: d, note: n, sender: sender, key: d.Key + "\x00" + string(n.Use)}
	if n.Use == pn.Call {
		j.key += "\x00" + n.CallID
	}
	if p.waiting[j.key] != nil {
		return true
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

// Health tells how pushes to a device went, and false if there was none.
func (p *Pusher) Health(device string) (ctl.PushHealth, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h, ok := p.health[device]
	return h, ok
}

// Forget drops what is known of a device that is gone.
func (p *Pusher) Forget(device string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.health, device)
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
	if !over {
		p.try(ctx, j)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, j.key)
}

func (p *Pusher) try(ctx context.Context, j *job) {
	pause := retryFirst
	for n := 1; ; n++ {
		once, cancel := context.WithTimeout(ctx, sendTime)
		err := j.sender.Send(once, j.device, j.note)
		cancel()
		p.note(j.device.Key, err)
		if err == nil || n == maxTries || errors.Is(err, ErrGone) || errors.Is(err, ErrRefused) || errors.Is(err, ErrUnable) {
			return
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		pause = min(2*pause, retryLast)
	}
}

// note keeps how a try went.
func (p *Pusher) note(device string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h, known := p.health[device]
	if !known && len(p.health) >= maxDevices {
		return
	}
	h.Tried, h.Error = time.Now().UTC(), ""
	if err == nil {
		h.Sent = h.Tried
	} else {
		h.Error = err.Error()
		p.log.Debug("a device was not woken", "device", device, "err", err)
	}
	p.health[device] = h
}

package push

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/seal"
	"github.com/coraltele/sanchar/pkg/sip/pn"
)

// settingsFile holds the settings, sealed: they are the keys to all of an app's devices.
const settingsFile = "push.sealed"

// connectTime bounds a provider's answer, within a try.
const connectTime = 10 * time.Second

// Settings keeps who wakes devices, on disk and in use. Its methods may be called from any goroutine.
type Settings struct {
	path   string
	key    *seal.Key
	pusher *Pusher
	client *http.Client

	mu  sync.Mutex // guards now
	now ctl.PushSettings
}

// OpenSettings reads the settings in dir and gives the pusher its senders.
func OpenSettings(dir string, key *seal.Key, pusher *Pusher) (*Settings, error) {
	s := &Settings{path: filepath.Join(dir, settingsFile), key: key, pusher: pusher, client: newClient()}
	sealed, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	text, err := key.Open(nil, sealed, seal.Owner(nil, settingsFile))
	if err == nil {
		err = json.Unmarshal(text, &s.now)
	}
	var senders map[string]Sender
	if err == nil {
		senders, err = s.senders(s.now)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.path, err)
	}
	pusher.Use(senders)
	return s, nil
}

// newClient returns a client that keeps a connection to each provider. It follows no redirection: a
// note carries what is for the provider alone.
func newClient() *http.Client {
	return &http.Client{
		Timeout: connectTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute, Proxy: http.ProxyFromEnvironment},
	}
}

// Close closes the connections to providers.
func (s *Settings) Close() { s.client.CloseIdleConnections() }

// Load returns the settings without their secrets.
func (s *Settings) Load() ctl.PushSettings {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.now
	p.APNS.Secret, p.FCM.Secret = "", ""
	return p
}

// Save replaces the settings. A secret that is not sent stays, unless it is said that there is none.
func (s *Settings) Save(p ctl.PushSettings) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	keep(&p.APNS, s.now.APNS)
	keep(&p.FCM, s.now.FCM)
	senders, err := s.senders(p)
	if err != nil {
		return err
	}
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := fsx.WriteFile(s.path, s.key.Seal(nil, text, seal.Owner(nil, settingsFile)), 0o600); err != nil {
		return fmt.Errorf("save who wakes devices: %w", err)
	}
	s.now = p
	s.pusher.Use(senders)
	return nil
}

func keep(k *ctl.PushKey, old ctl.PushKey) {
	if k.Secret == "" && k.Set {
		k.Secret = old.Secret
	}
	k.Set = k.Secret != ""
	if !k.Set {
		*k = ctl.PushKey{}
	}
}

// senders makes who sends, or tells all that is wrong with the settings.
func (s *Settings) senders(p ctl.PushSettings) (map[string]Sender, error) {
	senders := map[string]Sender{}
	var faults []problem.Fault
	add := func(prefix string, err error, made func()) {
		if err == nil {
			made()
			return
		}
		for _, f := range problem.Of(err).Faults {
			f.Path = prefix + f.Path
			faults = append(faults, f)
		}
	}
	if p.Hook != "" {
		h, err := NewHook(p.Hook, s.client)
		add("", err, func() { senders[""] = h })
	}
	if p.APNS.Set {
		a, err := NewAPNS(APNSConfig{Key: []byte(p.APNS.Secret), KeyID: p.APNS.KeyID, Team: p.APNS.Team, Client: s.client})
		add("apns.", err, func() { senders[pn.APNS], senders[pn.APNSDev] = a, a })
	}
	if p.FCM.Set {
		f, err := NewFCM(FCMConfig{Account: []byte(p.FCM.Secret), Client: s.client})
		add("fcm.", err, func() { senders[pn.FCM] = f })
	}
	return senders, problem.Fields("push", faults)
}

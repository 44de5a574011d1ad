package provision

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// maxAgent is how much of what a phone calls itself is kept.
const maxAgent = 120

// servePhone answers a desk phone. Whoever may not have what he asks for gets the same answer,
// whether the phone is not bound, not open, has its settings already, or was asked for too often.
func (p *Provision) servePhone(w http.ResponseWriter, r *http.Request, mac string, f form) {
	w.Header().Set("Cache-Control", "no-store")
	source := sourceOf(r)
	if p.misses.over(source) {
		p.misses.add(source)
		http.NotFound(w, r)
		return
	}
	doc, media, err := p.phoneFile(r, mac, f)
	switch {
	case errors.Is(err, errNotOpen), problem.Is(err, problem.Missing):
		p.misses.add(source)
		http.NotFound(w, r)
	case err != nil:
		p.refuse(w, err)
	default:
		w.Header().Set("Content-Type", media)
		_, _ = w.Write(doc) // the phone is gone: an admin opens its time again
	}
}

// phoneFile makes the file that a phone asked for. The one with the secret can be had once.
func (p *Provision) phoneFile(r *http.Request, mac string, f form) (doc []byte, media string, err error) {
	phone, err := p.phone(mac)
	if err != nil {
		return nil, "", err
	}
	if !isOpen(phone) || r.Method != http.MethodGet {
		return nil, "", errNotOpen
	}
	name := phone.Maker
	if name == "" {
		name = guess(f, r.UserAgent())
	}
	m, _ := makerOf(name) // one that is known: Bind has seen to it
	switch f {
	case m.file:
		doc, err = p.secretFile(r, phone, m)
		return doc, m.media, err
	case formCfg:
		if m.name == "polycom" {
			doc, err = polycomMaster()
			return doc, m.media, err
		}
	case formNone, formXML, formCfgXML, formReg:
	}
	return nil, "", errNotOpen
}

// secretFile gives the phone a secret of its own and closes its time. Nothing secret is kept here.
func (p *Provision) secretFile(r *http.Request, phone ctl.DeskPhone, m maker) ([]byte, error) {
	ctx := r.Context()
	s, err := p.settings(ctx, phone.User, phone.Transport, r.Host)
	if err != nil {
		return nil, err
	}
	scheme := "https://"
	if r.TLS == nil {
		scheme = "http://"
	}
	s.CA = scheme + r.Host + PathPrefix + caFile
	if err := p.claim(phone.MAC); err != nil {
		return nil, err
	}
	secret, err := p.cfg.Switch.AddDevice(ctx, phone.User)
	if err != nil {
		return nil, errors.Join(err, p.reopen(phone))
	}
	s.Login, s.Password, s.HA1 = secret.Login, secret.Password, secret.HA1
	doc, err := m.encode(s)
	if err != nil {
		return nil, fmt.Errorf("settings of phone %s: %w", phone.MAC, err)
	}
	fetch := Fetch{Source: sourceOf(r), Agent: agentOf(r), MAC: phone.MAC, Plain: r.TLS == nil}
	if err := p.took(ctx, phone, secret.Login, fetch); err != nil {
		return nil, err
	}
	return doc, p.cfg.Used(ctx, s.User, fetch)
}

// reopen undoes a claim that led to nothing.
func (p *Provision) reopen(phone ctl.DeskPhone) error {
	return p.changePhone(phone.MAC, func(now *ctl.DeskPhone) error {
		now.Open = phone.Open
		return nil
	})
}

// took notes who has the settings, and ends the secret that the phone had before.
func (p *Provision) took(ctx context.Context, phone ctl.DeskPhone, login string, f Fetch) error {
	err := p.changePhone(phone.MAC, func(now *ctl.DeskPhone) error {
		now.Taken, now.From, now.Agent, now.Plain, now.Login = time.Now().UTC().Truncate(time.Second), f.Source, f.Agent, f.Plain, login
		return nil
	})
	if err != nil { // somebody removed the phone meanwhile: nobody would know of its secret
		return errors.Join(err, p.cfg.Switch.RemoveDevice(ctx, phone.User, login))
	}
	return p.endSecret(ctx, phone)
}

func agentOf(r *http.Request) string {
	agent := oneLine(strings.ToValidUTF8(r.UserAgent(), "?"))
	return strings.ToValidUTF8(agent[:min(len(agent), maxAgent)], "")
}

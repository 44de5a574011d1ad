package ctl

import (
	"net/netip"

	"github.com/coraltele/sanchar/pkg/base/pack"
)

// Protection is how packets between a party and the box are protected.
type Protection string

// The kinds of protection.
const (
	Plain   Protection = ""        // RTP as it is
	SDES    Protection = "sdes"    // SRTP with keys in the SDP (RFC 4568)
	DTLS    Protection = "dtls"    // SRTP with keys of a handshake on the media path (RFC 5764)
	Through Protection = "through" // keys are the parties' own: packets pass untouched, the box cannot read them
)

// ICEMode is what the box does about connectivity checks on a leg (RFC 8445).
type ICEMode string

// The modes.
const (
	NoICE      ICEMode = ""        // it neither offers nor answers ICE
	ICELite    ICEMode = "lite"    // it answers the party's checks itself
	ICEThrough ICEMode = "through" // the parties' candidates pass; it offers its ports as one more, and carries their checks
)

// MediaCrypto is one a=crypto line.
type MediaCrypto struct {
	Tag   uint32 `json:"tag"`
	Suite string `json:"suite"`         // "AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM", ...
	Key   []byte `json:"-"`             // master key and master salt; never in a log or a status
	MKI   []byte `json:"mki,omitempty"` // none if empty
}

// MediaFingerprint is the hash of a DTLS certificate (RFC 8122 §5).
type MediaFingerprint struct {
	Hash  string `json:"hash"` // "sha-256"
	Value []byte `json:"value"`
}

// MediaCandidate is one way to a party's stream (RFC 8839 §5.1).
type MediaCandidate struct {
	Foundation string         `json:"foundation"`
	Component  uint8          `json:"component"` // 1 RTP, 2 RTCP
	Priority   uint32         `json:"priority"`
	Addr       netip.AddrPort `json:"addr"`
	Type       string         `json:"type"` // "host", "srflx", "prflx", "relay"
	Related    netip.AddrPort `json:"related,omitzero"`
}

// MediaICE is what one side says of ICE for a stream. An empty Ufrag is no ICE.
type MediaICE struct {
	Ufrag      string           `json:"ufrag,omitempty"`
	Pwd        string           `json:"-"` // proves who checks; never in a log or a status
	Lite       bool             `json:"lite,omitempty"`
	Candidates []MediaCandidate `json:"candidates,omitempty"`
}

// MediaTerms are what the box is to say on a leg: the same for all its streams.
type MediaTerms struct {
	Protection Protection `json:"protection,omitempty"`
	Suites     []string   `json:"suites,omitempty"` // SDES suites to offer, or to choose from, in order; empty: all we have
	Setup      string     `json:"setup,omitempty"`  // "actpass" in offers, "active" or "passive" in answers (RFC 4145 §4)
	ICE        ICEMode    `json:"ice,omitempty"`
	Mux        bool       `json:"mux,omitempty"`    // RTP and RTCP on one port (RFC 5761)
	Bundle     bool       `json:"bundle,omitempty"` // all streams on the first one's ports (RFC 9143)
	NoZRTP     bool       `json:"no_zrtp,omitempty"`
}

// Pack appends the line with its key.
func (c *MediaCrypto) Pack(w *pack.Writer) {
	w.Uint(uint64(c.Tag))
	w.String(c.Suite)
	w.String(string(c.Key))
	w.String(string(c.MKI))
}

// Unpack reads the line with its key.
func (c *MediaCrypto) Unpack(r *pack.Reader) {
	c.Tag, c.Suite, c.Key, c.MKI = uint32(r.Uint()), r.String(), bytesOf(r), bytesOf(r)
}

// bytesOf reads bytes; none are nil.
func bytesOf(r *pack.Reader) []byte {
	if s := r.String(); s != "" {
		return []byte(s)
	}
	return nil
}

func (f *MediaFingerprint) pack(w *pack.Writer) {
	w.String(f.Hash)
	w.String(string(f.Value))
}

func (f *MediaFingerprint) unpack(r *pack.Reader) { f.Hash, f.Value = r.String(), bytesOf(r) }

func (c *MediaCandidate) pack(w *pack.Writer) {
	w.String(c.Foundation)
	w.Uint(uint64(c.Component))
	w.Uint(uint64(c.Priority))
	w.Addr(c.Addr)
	w.String(c.Type)
	w.Addr(c.Related)
}

func (c *MediaCandidate) unpack(r *pack.Reader) {
	c.Foundation, c.Component, c.Priority = r.String(), uint8(r.Uint()), uint32(r.Uint())
	c.Addr, c.Type, c.Related = r.Addr(), r.String(), r.Addr()
}

func (i *MediaICE) pack(w *pack.Writer) {
	w.String(i.Ufrag)
	w.String(i.Pwd)
	w.Bool(i.Lite)
	pack.WriteList(w, i.Candidates, (*MediaCandidate).pack)
}

func (i *MediaICE) unpack(r *pack.Reader) {
	i.Ufrag, i.Pwd, i.Lite = r.String(), r.String(), r.Bool()
	i.Candidates = pack.ReadList(r, (*MediaCandidate).unpack)
}

// Pack appends the terms.
func (t *MediaTerms) Pack(w *pack.Writer) {
	w.String(string(t.Protection))
	w.Strings(t.Suites)
	w.String(t.Setup)
	w.String(string(t.ICE))
	w.Bool(t.Mux)
	w.Bool(t.Bundle)
	w.Bool(t.NoZRTP)
}

// Unpack reads the terms.
func (t *MediaTerms) Unpack(r *pack.Reader) {
	t.Protection, t.Suites, t.Setup = Protection(r.String()), r.Strings(), r.String()
	t.ICE, t.Mux, t.Bundle, t.NoZRTP = ICEMode(r.String()), r.Bool(), r.Bool(), r.Bool()
}

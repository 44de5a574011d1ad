package ctl

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"time"
)

// Verbs of mediad's pipe.
const (
	VerbOffer  uint8 = 1
	VerbAnswer uint8 = 2
	VerbUpdate uint8 = 3
	VerbClose  uint8 = 4
	VerbRecord uint8 = 5
	VerbPlay   uint8 = 6
	VerbDial   uint8 = 7
)

// Direction of a stream as its party said in SDP, seen from that party (RFC 8866 §6.7).
type Direction string

// The directions.
const (
	SendRecv Direction = "sendrecv"
	SendOnly Direction = "sendonly"
	RecvOnly Direction = "recvonly"
	Inactive Direction = "inactive"
)

// MediaFormat is one payload type of a stream.
type MediaFormat struct {
	PayloadType uint8  `json:"pt"`
	Encoding    string `json:"enc,omitempty"` // "PCMU", "opus", "telephone-event"
	ClockRate   uint32 `json:"rate"`
	Channels    uint8  `json:"ch,omitempty"`     // 0 is 1
	Params      string `json:"params,omitempty"` // of a=fmtp
}

// MediaStream is what a party said of one m-line. A zero RTP address means that it wants none.
type MediaStream struct {
	Kind      string         `json:"kind"` // "audio", "video", or another media type relayed as it is
	RTP       netip.AddrPort `json:"rtp"`  // where it receives, as written in its SDP
	RTCP      netip.AddrPort `json:"rtcp"`
	Mux       bool           `json:"mux,omitempty"` // RTCP comes and goes on the RTP port (RFC 5761)
	Direction Direction      `json:"dir,omitempty"` // "" is sendrecv
	Secure    bool           `json:"sec,omitempty"` // SRTP passes through: RTCP bodies cannot be read
	Formats   []MediaFormat  `json:"fmt,omitempty"` // that it takes, in its order
	// Told is what the box has said it takes: the payload types that the party sends. Empty: as Formats.
	Told []MediaFormat `json:"told,omitempty"`

	Protection   Protection         `json:"protection,omitempty"`
	Crypto       []MediaCrypto      `json:"crypto,omitempty"`       // all that it offered, or the one that it answered
	Fingerprints []MediaFingerprint `json:"fingerprints,omitempty"` // of its certificate
	Setup        string             `json:"setup,omitempty"`
	ICE          MediaICE           `json:"ice,omitzero"`
	MID          string             `json:"mid,omitempty"`
	MIDExt       uint8              `json:"mid_ext,omitempty"`   // id of the MID header extension (RFC 9143 §15)
	BundleOn     int                `json:"bundle_on,omitzero"`  // 1 + index of the stream whose ports it shares; 0: its own
	SSRCs        []uint32           `json:"ssrcs,omitempty"`     // that it says it sends (RFC 5576)
	Ptime        uint16             `json:"ptime,omitempty"`     // ms
	Feedback     bool               `json:"feedback,omitempty"`  // AVPF: it takes NACK and PLI (RFC 4585)
	Bandwidth    uint32             `json:"bandwidth,omitempty"` // kbit/s that the stream may take either way; 0: no limit
}

// MediaLeg is one party of a session.
type MediaLeg struct {
	ID      string        `json:"id"`                // chosen by the caller, unique in the session
	Local   netip.Addr    `json:"local"`             // address of ours that the party reaches
	Source  netip.Addr    `json:"source,omitzero"`   // where its signalling came from: behind NAT its media does too
	Streams []MediaStream `json:"streams,omitempty"` // what it said; empty while it has not spoken
	Ours    MediaTerms    `json:"ours,omitzero"`     // what the box says on the leg
	// Continues names, in an offer's Peer, the leg that it was until now: "session/leg" of a session that
	// has just ended. Its party may go on with the keys that it has.
	Continues string `json:"continues,omitempty"`
}

// MediaPorts are ours for one stream of a leg: what its party is to send to, and how. With Mux both
// ports are one.
type MediaPorts struct {
	RTP         netip.AddrPort   `json:"rtp"`
	RTCP        netip.AddrPort   `json:"rtcp"`
	Crypto      []MediaCrypto    `json:"crypto,omitempty"` // what we offer, or the one that we have chosen, with our key
	Fingerprint MediaFingerprint `json:"fingerprint,omitzero"`
	Setup       string           `json:"setup,omitempty"`
	ICE         MediaICE         `json:"ice,omitzero"`
	SSRC        uint32           `json:"ssrc,omitempty"` // of what the box itself sends; 0: it relays the other party's
}

// MediaOffer opens a session: Leg has offered, Peer is to be offered the same number of streams.
// Asked again for a session that exists it adds the leg Peer, for instance of another IP version.
type MediaOffer struct {
	Session string   `json:"session"`
	Leg     MediaLeg `json:"leg"`
	Peer    MediaLeg `json:"peer"` // ID and Local
}

// MediaOffered are our ports towards both.
type MediaOffered struct {
	Leg  []MediaPorts `json:"leg"`
	Peer []MediaPorts `json:"peer"`
}

// MediaAnswer connects two legs: Leg has answered what Peer had offered. Media flows from now on.
// Asked again with another answer (of another branch of a fork) it replaces the first.
type MediaAnswer struct {
	Session string   `json:"session"`
	Leg     MediaLeg `json:"leg"`
	Peer    string   `json:"peer"` // leg id
}

// MediaUpdate changes a session whole: legs that have new terms, who hears whom, legs that left.
// A leg in Legs that is new gets ports, one per stream of the leg it is paired with.
type MediaUpdate struct {
	Session string      `json:"session"`
	Legs    []MediaLeg  `json:"legs,omitempty"`
	Pairs   [][2]string `json:"pairs,omitempty"` // nil leaves the pairs as they are
	Drop    []string    `json:"drop,omitempty"`
}

// MediaUpdated are our ports for each leg named in Legs.
type MediaUpdated struct {
	Ports map[string][]MediaPorts `json:"ports"`
}

// MediaClose ends a session.
type MediaClose struct {
	Session string `json:"session"`
}

// StreamStats is what was seen of one stream of a leg. "In" is from the party to the box.
type StreamStats struct {
	Leg         string         `json:"leg"`
	Index       int            `json:"index"` // of the m-line
	Kind        string         `json:"kind"`
	Codec       string         `json:"codec,omitempty"` // encoding of most packets in
	Remote      netip.AddrPort `json:"remote,omitzero"` // proven peer
	PacketsIn   uint64         `json:"packets_in"`
	BytesIn     uint64         `json:"bytes_in"`
	PacketsOut  uint64         `json:"packets_out"`
	LostIn      uint64         `json:"lost_in"`
	LostOut     uint64         `json:"lost_out"`            // as the party reports by RTCP
	JitterIn    time.Duration  `json:"jitter_in"`           // RFC 3550 §6.4.1, mean
	JitterOut   time.Duration  `json:"jitter_out"`          // as the party reports
	RoundTrip   time.Duration  `json:"round_trip,omitzero"` // box to party and back, from RTCP
	MOS         float64        `json:"mos,omitzero"`        // 1 to 4.5 by the E-model, of what came in
	Dropped     uint64         `json:"dropped"`             // not from the proven peer
	Ignored     uint64         `json:"ignored,omitempty"`   // from it, but no media: STUN, keep-alives
	FirstPacket time.Time      `json:"first_packet,omitzero"`
	LastPacket  time.Time      `json:"last_packet,omitzero"`
	Protection  Protection     `json:"protection,omitempty"`
	Suite       string         `json:"suite,omitempty"`      // of SRTP
	ZRTP        bool           `json:"zrtp,omitempty"`       // the parties keyed end to end: not recordable
	Direct      bool           `json:"direct,omitempty"`     // media left the box: the parties found a way of their own
	Refused     uint64         `json:"refused,omitempty"`    // SRTP that was not authentic, or came again
	Offloaded   uint64         `json:"offloaded,omitempty"`  // packets that the kernel forwarded
	Unmeasured  uint64         `json:"unmeasured,omitempty"` // packets in that passed unseen: of them LostIn and JitterIn know nothing
	Transcoded  string         `json:"transcoded,omitempty"` // "opus>PCMU": what the party sends became for the other
	Recorded    bool           `json:"recorded,omitempty"`
	Faults      []MediaFault   `json:"faults,omitempty"` // what was wrong with the stream, and what cured it
}

// MediaFault is something that was wrong with a stream.
type MediaFault struct {
	At    time.Time `json:"at"`
	Cause string    `json:"cause"` // one of the kinds of MediaEvent
	Text  string    `json:"text,omitempty"`
	Cure  string    `json:"cure,omitempty"` // what the box did; empty: nothing helped
}

// MediaClosed is the account of a session that ended.
type MediaClosed struct {
	Streams []StreamStats `json:"streams"`
}

// MediaSession names a session that mediad holds.
type MediaSession struct {
	ID         string        `json:"id"`
	Started    time.Time     `json:"started"`
	LastPacket time.Time     `json:"last_packet,omitzero"`
	Streams    []StreamStats `json:"streams"`
}

// Kinds of MediaEvent.
const (
	MediaStarted = "started" // first packet from the proven peer
	MediaSilent  = "silent"  // nothing from a leg that should send
	MediaOneWay  = "one-way" // one leg of a pair sends, the other does not
	MediaResumed = "resumed" // it sends again
	MediaMoved   = "moved"   // the peer's address changed, as allowed
	MediaLost    = "lost"    // ports could not be taken back after a restart

	MediaSecured   = "secured"   // the handshake is done, or the first authentic packet came
	MediaInsecure  = "insecure"  // handshake or packets were refused; Text says why
	MediaZRTP      = "zrtp"      // the parties key end to end: the call is not recordable
	MediaDirect    = "direct"    // the parties' media does not come through the box any more
	MediaForeign   = "foreign"   // packets of formats that were not agreed
	MediaStranger  = "stranger"  // packets from an address that cannot be proven, and none from the party
	MediaCured     = "cured"     // what was wrong is over; Text says what the box did
	MediaDigit     = "digit"     // a key was pressed
	MediaPlayed    = "played"    // what was played has ended
	MediaRecording = "recording" // a recording has begun, paused, gone on or ended: Text
)

// MediaEvent is one line of mediad's event stream.
type MediaEvent struct {
	Session string         `json:"session,omitempty"`
	Leg     string         `json:"leg,omitempty"`
	Index   int            `json:"index"`
	Kind    string         `json:"kind,omitempty"`
	Remote  netip.AddrPort `json:"remote,omitzero"`
	Text    string         `json:"text,omitempty"`
	Digit   string         `json:"digit,omitempty"`
	ID      string         `json:"id,omitempty"` // of a recording or of what is played
	At      time.Time      `json:"at"`
	Alive   bool           `json:"alive,omitempty"`
}

// MediaStatus is what mediad says of itself.
type MediaStatus struct {
	Version           string           `json:"version"`
	Started           time.Time        `json:"started"`
	Sessions          int              `json:"sessions"`
	Streams           int              `json:"streams"`
	Ports             PortUse          `json:"ports"`
	STUN              []netip.AddrPort `json:"stun,omitempty"`               // where clients ask for their address and for relays
	Packets           uint64           `json:"packets"`                      // relayed since start
	Dropped           uint64           `json:"dropped"`                      // from nobody's proven peer
	Offloaded         int              `json:"offloaded,omitempty"`          // streams that the kernel passes on now
	Speaking          int              `json:"speaking,omitempty"`           // parties that the box itself speaks to, or listens to for keys: jobs of its workers
	Recordings        int              `json:"recordings,omitempty"`         // that go on
	RecordingsWaiting int              `json:"recordings_waiting,omitempty"` // for the archive
	RecordingsLost    uint64           `json:"recordings_lost,omitempty"`    // packets that are in no recording but should be, since start
	Alarms            []Alarm          `json:"alarms,omitempty"`
}

// PortUse tells how much of the port range is taken.
type PortUse struct {
	First uint16 `json:"first"`
	Last  uint16 `json:"last"`
	Used  int    `json:"used"`
	Open  int    `json:"open"` // bound, used or not
}

// Media is a client of mediad.
type Media struct {
	*Client
	pipe *Pipe
}

// NewMedia returns a client of the mediad that serves socket.
func NewMedia(socket string) Media {
	return Media{NewClient("mediad", socket), NewPipe("mediad", socket, "/v1/pipe")}
}

// Close ends the connections to mediad; verbs that wait fail.
func (m Media) Close() error { return errors.Join(m.pipe.Close(), m.Client.Close()) }

// Offer opens or widens a session.
func (m Media) Offer(ctx context.Context, in MediaOffer) (out MediaOffered, err error) {
	return out, m.pipe.Call(ctx, VerbOffer, &in, &out)
}

// Answer connects two legs.
func (m Media) Answer(ctx context.Context, in MediaAnswer) error {
	return m.pipe.Call(ctx, VerbAnswer, &in, nil)
}

// Update changes a session.
func (m Media) Update(ctx context.Context, in MediaUpdate) (out MediaUpdated, err error) {
	return out, m.pipe.Call(ctx, VerbUpdate, &in, &out)
}

// CloseSession ends a session and returns its account.
func (m Media) CloseSession(ctx context.Context, in MediaClose) (out MediaClosed, err error) {
	return out, m.pipe.Call(ctx, VerbClose, &in, &out)
}

// Sessions returns all sessions that mediad holds.
func (m Media) Sessions(ctx context.Context) (out []MediaSession, err error) {
	return out, m.Do(ctx, http.MethodGet, "/v1/sessions", nil, &out)
}

// Status asks how mediad is.
func (m Media) Status(ctx context.Context) (st MediaStatus, err error) {
	return st, m.Do(ctx, http.MethodGet, "/v1/status", nil, &st)
}

// Events calls each for every event until ctx ends or mediad goes away.
func (m Media) Events(ctx context.Context, each func(MediaEvent) error) error {
	return m.Listen(ctx, "/v1/events", func(line json.RawMessage) error {
		var ev MediaEvent
		if err := json.Unmarshal(line, &ev); err != nil {
			return err
		}
		return each(ev)
	})
}

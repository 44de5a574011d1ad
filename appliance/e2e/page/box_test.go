package page

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/daemon/admind"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/notify"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/testkit/fakeswitch"
)

const (
	owner    = "Owner"
	password = "correct horse battery"
	domain   = "pbx.example"
)

// box is an admind with stand-ins of the other daemons around it.
type box struct {
	t       *testing.T
	dir     string // of the sockets
	data    string // of admind
	sw      *fakeswitch.Switch
	netd    *fakeNetd
	address string // of the page: https://127.0.0.1:port

	dial    func(network, address string) (net.Conn, error) // to the page; nil from here
	browser string                                          // program that reaches the page; "" is Chromium here
}

// startBox runs a box that nobody has set up yet.
func startBox(t *testing.T) *box {
	t.Helper()
	dir, err := os.MkdirTemp("", "pg-") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b := &box{t: t, dir: dir, data: filepath.Join(dir, "data")}
	b.netd = newFakeNetd()
	b.sw = fakeswitch.Start(t, filepath.Join(dir, "switch.sock"), "")
	b.startOthers()
	n, err := notify.New()
	if err != nil {
		t.Fatal(err)
	}
	d, err := admind.New(admind.Config{
		RunDir: dir, DataDir: b.data, Bind: "127.0.0.1", Version: "1.0.0", Notify: n, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	b.serve(d.Run)
	b.awaitPage()
	return b
}

// serve runs a part until the test ends.
func (b *box) serve(run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := run(ctx); err != nil {
			b.t.Error(err)
		}
	}()
	b.t.Cleanup(func() { cancel(); <-done })
}

// awaitPage waits until the page is served under a certificate of the box's CA.
func (b *box) awaitPage() {
	b.t.Helper()
	client := ctl.NewAdmin(filepath.Join(b.dir, "admin.sock"))
	for end := time.Now().Add(stepLimit); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		st, err := client.Status(b.t.Context())
		if err != nil || strings.HasSuffix(st.Page, ":0") {
			continue
		}
		b.address = st.Page
		if cert, err := b.shown(); err == nil && cert.Issuer.CommonName == b.sw.CA().Subject.CommonName {
			return
		}
	}
	b.t.Fatal("admind does not serve its page")
}

// shown is the certificate that the page shows.
func (b *box) shown() (*x509.Certificate, error) {
	dial := b.dial
	if dial == nil {
		dial = net.Dial
	}
	raw, err := dial("tcp", strings.TrimPrefix(b.address, "https://"))
	if err != nil {
		return nil, err
	}
	defer raw.Close()
	conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
	if err := conn.Handshake(); err != nil {
		return nil, err
	}
	return conn.ConnectionState().PeerCertificates[0], nil
}

// startOthers runs a mediad and a netd that only tell how they are.
func (b *box) startOthers() {
	media, netd := http.NewServeMux(), http.NewServeMux()
	started := time.Now().Add(-3 * time.Hour)
	ctl.Handle(media, "GET /v1/status", func(*http.Request, ctl.None) (ctl.MediaStatus, error) {
		return ctl.MediaStatus{Version: "1.0.0", Started: started, Sessions: 1, Streams: 2}, nil
	})
	ctl.Handle(netd, "GET /v1/status", func(*http.Request, ctl.None) (ctl.NetStatus, error) {
		return ctl.NetStatus{Version: "1.0.0", Started: started}, nil
	})
	links := []ctl.Link{
		{Name: "lo", Index: 1, Up: true, Carrier: true, Loopback: true, MTU: 65536, Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8")}},
		{
			Name: "eth0", Index: 2, Up: true, Carrier: true, MTU: 1500, MAC: "52:54:00:12:34:56",
			Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.5/24"), netip.MustParsePrefix("2001:db8::5/64")},
		},
		{Name: "eth1", Index: 3, Up: true, MTU: 1500, MAC: "52:54:00:12:34:57"},
	}
	ctl.Handle(netd, "GET /v1/links", func(*http.Request, ctl.None) ([]ctl.Link, error) { return links, nil })
	ctl.Stream(netd, "GET /v1/events", func(r *http.Request, emit func(any) error) error {
		err := emit(ctl.NetEvent{Links: links})
		<-r.Context().Done()
		return err
	})
	b.netd.handle(netd, links)
	var ready sync.WaitGroup
	for name, mux := range map[string]http.Handler{"media": media, "net": netd} {
		ready.Go(func() {
			b.serve(func(ctx context.Context) error {
				return ctl.Serve(ctx, filepath.Join(b.dir, name+".sock"), mux, slog.New(slog.DiscardHandler))
			})
		})
	}
	ready.Wait()
}

// code is what the box's own screen shows.
func (b *box) code() string {
	b.t.Helper()
	text, err := os.ReadFile(filepath.Join(b.data, "setup-code"))
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// store hands records to the archive, as a daemon's outbox does.
func (b *box) store(kind record.Kind, id string, data any) {
	b.t.Helper()
	text, err := json.Marshal(data)
	if err != nil {
		b.t.Fatal(err)
	}
	batch := ctl.Batch{Records: []record.Envelope{{ID: id, Kind: kind, Version: record.Version, Data: text}}}
	if _, err := ctl.NewAdmin(filepath.Join(b.dir, "admin.sock")).Store(b.t.Context(), batch); err != nil {
		b.t.Fatal(err)
	}
}

// registration is a phone of a user.
func registration(id, user, userID string) ctl.Registration {
	now := time.Now()
	return ctl.Registration{
		ID: id, User: user, UserID: userID, AoR: "sip:" + user + "@" + domain, Contact: "sip:" + user + "@192.0.2.77:40112;transport=tls",
		Source: netip.MustParseAddrPort("192.0.2.77:40112"), Transport: "tls", UserAgent: "LinphoneAndroid/5.2.5 (Pixel 8)",
		Registered: now, Refreshed: now, Expires: now.Add(10 * time.Minute), Instance: "urn:uuid:7d0c0fa1",
	}
}

// liveCall is a call that rings.
func liveCall(id string) ctl.LiveCall {
	return ctl.LiveCall{
		ID: id, State: ctl.CallRinging, Dialed: "202", Start: time.Now(), Streams: 2,
		Caller: ctl.LiveParty{User: "asha.rao", Number: "201", Name: "Asha Rao", Transport: "tls", Source: netip.MustParseAddrPort("192.0.2.77:40112")},
		Callee: ctl.LiveParty{User: "vikram", Number: "202", Name: "Vikram Seth", Transport: "udp", Source: netip.MustParseAddrPort("192.0.2.78:5060")},
	}
}

// callRecord is a call of the past in which the callee was hardly heard.
func callRecord(ago time.Duration) record.Call {
	start := time.Now().Add(-ago).UTC()
	ring, answer, end := start.Add(400*time.Millisecond), start.Add(9*time.Second), start.Add(4*time.Minute+21*time.Second)
	asha := record.Party{AoR: "sip:asha.rao@" + domain, User: "asha.rao", Number: "201", Name: "Asha Rao"}
	vikram := record.Party{AoR: "sip:vikram@" + domain, User: "vikram", Number: "202", Name: "Vikram Seth"}
	good := record.Stream{Kind: "audio", Codec: "opus", PacketsIn: 12600, PacketsOut: 12550, LostIn: 3, JitterIn: 4 * time.Millisecond, RoundTrip: 38 * time.Millisecond, MOS: 4.3}
	bad := record.Stream{Kind: "audio", Codec: "opus", PacketsIn: 11800, PacketsOut: 12600, LostIn: 790, LostOut: 11, JitterIn: 46 * time.Millisecond, RoundTrip: 92 * time.Millisecond, MOS: 3.2}
	return record.Call{
		ID: ids.Record(start), CallID: "f81d4fae-7dec@192.0.2.77", Caller: asha, Dialed: "202", Callee: vikram,
		Start: start, Ring: ring, Answer: answer, End: end, Duration: end.Sub(answer), Status: record.CallAnswered, Code: 200,
		Cause: "callee hung up", EndedBy: record.ByCallee, Codecs: []string{"opus"}, MOS: 3.2,
		Legs: []record.Leg{
			{Role: record.RoleCaller, Party: asha, CallID: "f81d4fae-7dec@192.0.2.77", Remote: netip.MustParseAddrPort("192.0.2.77:40112"), Transport: "tls", UserAgent: "LinphoneAndroid/5.2.5", Start: start, Ring: ring, Answer: answer, End: end, Code: 200, Streams: []record.Stream{good}},
			{Role: record.RoleCallee, Party: vikram, CallID: "b2bua-1@box", Remote: netip.MustParseAddrPort("192.0.2.78:5060"), Transport: "udp", UserAgent: "Yealink SIP-T46U", Start: start.Add(20 * time.Millisecond), Ring: ring, Answer: answer, End: end, Code: 200, Streams: []record.Stream{bad}},
			{Role: record.RoleCallee, Party: vikram, CallID: "b2bua-2@box", Remote: netip.MustParseAddrPort("192.0.2.79:5060"), Transport: "udp", UserAgent: "Linphone Desktop", Start: start.Add(20 * time.Millisecond), Ring: start.Add(900 * time.Millisecond), End: answer, Code: 487, Cause: "answered elsewhere"},
		},
	}
}

// fill stores a few records of each kind.
func (b *box) fill() {
	b.t.Helper()
	for i, status := range []string{record.CallNoAnswer, record.CallBusy, record.CallOffline, record.CallFailed, record.CallCancelled, record.CallDeclined} {
		c := callRecord(time.Duration(i+1) * 47 * time.Minute)
		c.Status, c.Answer, c.Duration, c.MOS, c.Code, c.EndedBy = status, time.Time{}, 0, 0, 480, record.ByBox
		c.Legs = c.Legs[:1]
		c.Legs[0].Answer, c.Legs[0].Streams = time.Time{}, nil
		b.store(record.KindCall, c.ID, c)
	}
	now := time.Now().UTC()
	for i, result := range []string{record.RegActive, record.RegExpired, record.RegUnregistered, record.RegMoved} {
		first := now.Add(-time.Duration(i+1) * 3 * time.Hour)
		r := record.Registration{
			ID: ids.Record(first), AoR: "sip:asha.rao@" + domain, User: "asha.rao", Contact: "sip:asha.rao@192.0.2.77:40112;transport=tls",
			Source: netip.MustParseAddrPort("192.0.2.77:40112"), Transport: "tls", UserAgent: "LinphoneAndroid/5.2.5", CallID: "reg-1",
			Asked: 600, Expires: 600, Features: []string{"gruu", "outbound"}, Result: result, First: first, Last: now, Refreshes: 17,
		}
		b.store(record.KindRegistration, r.ID, r)
	}
	for i, reason := range []string{record.AuthWrongSecret, record.AuthUnknownUser, record.AuthBanned} {
		first := now.Add(-time.Duration(i+1) * 20 * time.Minute)
		f := record.AuthFailure{
			ID: ids.Record(first), Source: netip.MustParseAddr("203.0.113.9"), Transport: "udp", Method: "REGISTER", Username: "100",
			Claimed: "sip:100@" + domain, UserAgent: "friendly-scanner", Reason: reason, First: first, Last: first.Add(40 * time.Second), Count: 212,
		}
		b.store(record.KindAuthFailure, f.ID, f)
	}
}

package admind

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/console/events"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

func TestLiveCallsRegistrationsAndTheBox(t *testing.T) {
	t.Parallel()
	b, c := owned(t)
	now := time.Now()
	b.sw.SetCall(ctl.LiveCall{ID: "c2", State: ctl.CallUp, Start: now})
	b.sw.SetCall(ctl.LiveCall{ID: "c1", State: ctl.CallRinging, Start: now.Add(-time.Minute)})
	var calls struct{ Calls []ctl.LiveCall }
	c.api(200, "GET", "/calls", nil, &calls)
	if len(calls.Calls) != 2 || calls.Calls[0].ID != "c1" {
		t.Errorf("%+v", calls)
	}
	c.api(204, "DELETE", "/calls/c1", nil, nil)
	if by := b.sw.HungUp("c1"); by != owner {
		t.Errorf("hung up by %q", by)
	}
	if a := c.api(404, "DELETE", "/calls/c1", nil, nil); a.Code != "call.missing" {
		t.Errorf("%s", a.body)
	}

	b.sw.Register(ctl.Registration{ID: "r1", User: "asha", UserAgent: "Linphone"})
	b.sw.Register(ctl.Registration{ID: "r2", User: "bala", UserAgent: "Yealink"})
	var regs struct{ Registrations []ctl.Registration }
	for text, want := range map[string]int{"": 2, "linPHONE": 1, "nobody": 0} {
		c.api(200, "GET", "/registrations?text="+text, nil, &regs)
		if len(regs.Registrations) != want || regs.Registrations == nil {
			t.Errorf("%q: %+v", text, regs)
		}
	}

	var o events.Overview
	c.api(200, "GET", "/overview", nil, &o)
	if o.Domain != "pbx.example" || o.Sessions != 1 || len(o.Daemons) != 4 || len(o.Addresses) != 1 || o.DiskFree == 0 {
		t.Errorf("%+v", o)
	}
	for _, d := range o.Daemons {
		if !d.Up {
			t.Errorf("%+v", d)
		}
	}
	var links struct{ Links []ctl.Link }
	c.api(200, "GET", "/links", nil, &links)
	if len(links.Links) != 1 || links.Links[0].Name != "eth0" {
		t.Errorf("%+v", links)
	}
	a := c.api(200, "GET", "/ca.pem", nil, nil)
	if !strings.HasPrefix(string(a.body), "-----BEGIN CERTIFICATE") || !strings.Contains(a.header.Get("Content-Disposition"), "sanchar-ca.pem") {
		t.Errorf("%s", a.body)
	}
	b.sw.Leave()
	for _, path := range []string{"/calls", "/registrations", "/users", "/ca.pem"} {
		if a := c.api(503, "GET", path, nil, nil); a.Code != "switchd.away" || a.Cure == "" {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	c.api(200, "GET", "/overview", nil, nil)
	c.api(200, "GET", "/records/calls", nil, nil)
	b.sw.Return()
}

// sse reads server-sent events until the stream ends.
func (c *browser) sse(ctx context.Context) <-chan events.Event {
	c.b.t.Helper()
	req, err := http.NewRequestWithContext(ctx, "GET", "https://"+c.b.address()+"/api/v1/events", nil)
	if err != nil {
		c.b.t.Fatal(err)
	}
	req.Header = c.header.Clone()
	resp, err := c.http.Do(req)
	if err != nil {
		c.b.t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		c.b.t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	ch := make(chan events.Event, 100)
	go func() {
		defer close(ch)
		defer resp.Body.Close()
		var ev events.Event
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				ev.Name = name
			}
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				ev.Data = []byte(data)
				ch <- ev
			}
		}
	}()
	return ch
}

func awaitEvent(t *testing.T, ch <-chan events.Event, name, part string) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case ev, open := <-ch:
			if !open {
				t.Fatalf("the stream ended before %s %s", name, part)
			}
			if ev.Name == name && strings.Contains(string(ev.Data), part) {
				if !json.Valid(ev.Data) {
					t.Errorf("%s", ev.Data)
				}
				return
			}
		case <-limit:
			t.Fatalf("no event %s with %s", name, part)
		}
	}
}

func awaitEnd(t *testing.T, ch <-chan events.Event) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case _, open := <-ch:
			if !open {
				return
			}
		case <-limit:
			t.Fatal("the stream goes on")
		}
	}
}

func TestEventsReachThePageUntilItsSignInEnds(t *testing.T) {
	t.Parallel()
	b, c := owned(t)
	ch := c.sse(t.Context())
	awaitEvent(t, ch, "overview", `"domain"`)
	b.sw.Register(ctl.Registration{ID: "r1", User: "asha"})
	awaitEvent(t, ch, "registration", `"r1"`)
	b.sw.SetCall(ctl.LiveCall{ID: "c1"})
	awaitEvent(t, ch, "call", `"c1"`)
	c.api(204, "DELETE", "/calls/c1", nil, nil)
	awaitEvent(t, ch, "call-ended", `"c1"`)
	b.sw.Unregister("r1")
	awaitEvent(t, ch, "registration-ended", `"r1"`)
	b.put(pastCall("asha", "bala", "answered"))
	awaitEvent(t, ch, "record", `"kind":"call"`)
	b.sw.Raise(ctl.Alarm{Code: "switch.hot", Text: "too hot"})
	awaitEvent(t, ch, "alarm", "switch.hot")
	c.api(204, "DELETE", "/session", nil, nil)
	awaitEnd(t, ch)
}

func TestEventsEndWithTheDaemonAndForATokenToo(t *testing.T) {
	t.Parallel()
	b, c := owned(t)
	var made struct{ Secret string }
	c.api(201, "POST", "/tokens", m{"name": "wallboard"}, &made)
	board := b.browser()
	board.header.Set("Authorization", "Bearer "+made.Secret)
	ch := board.sse(t.Context())
	awaitEvent(t, ch, "overview", `"domain"`)
	begin := time.Now()
	b.stop()
	awaitEnd(t, ch)
	if d := time.Since(begin); d > stopTimeout {
		t.Errorf("the stop took %v: it waited for an open page", d)
	}
	b.run()
}

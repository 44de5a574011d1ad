package page

import (
	"net"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/record"
)

// TestSignInRunsOut: somebody ends all other sign-ins; the page says so and, after signing in,
// is where it was.
func TestSignInRunsOut(t *testing.T) {
	t.Parallel()
	b := startBox(t)
	other := b.setUp()
	v := signedIn(t, b, phone(), "/logs/calls?status=busy&when=today")
	v.heading(v.text("log.calls.title"))
	v.see(v.text("live.live"))
	v.expect("ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_HTTP2_PROTOCOL_ERROR", "status of 401")
	other.call("DELETE", "/me/sessions", nil)
	v.see(v.text("signin.expired"))
	v.check("signin-expired")
	v.signIn()
	v.heading(v.text("log.calls.title"))
	if where := evaluate[string](v, "location.pathname + location.search"); where != "/logs/calls?status=busy&when=today" {
		t.Errorf("came back to %s", where)
	}
	if status := evaluate[string](v, finder+".field("+quote(v.text("call.status"))+").value"); status != "busy" {
		t.Errorf("the filter is %q", status)
	}
}

// TestConnectionBreaks: the page says that it is blind, connects again by itself and then shows
// what it missed.
func TestConnectionBreaks(t *testing.T) {
	t.Parallel()
	b := startBox(t)
	b.setUp()
	w := newWire(t, b, net.Dial)
	v := signedIn(t, b, desktop(), "/calls")
	v.see(v.text("live.live"), v.text("calls.none"))
	b.sw.SetCall(liveCall("c1"))
	v.see("Vikram Seth")
	v.expect("net::ERR_")
	w.pull()
	v.see(v.text("live.broken"))
	v.check("broken")
	b.sw.EndCall("c1")
	later := liveCall("c2")
	later.Caller.Name = "Missed Meanwhile"
	b.sw.SetCall(later)
	w.putBack()
	v.see(v.text("live.live"), "Missed Meanwhile", v.text("calls.count", "n", "1"))
}

// TestLogAfterABreak: what was stored while the connection was broken is not missed.
func TestLogAfterABreak(t *testing.T) {
	t.Parallel()
	b := startBox(t)
	b.setUp()
	old := callRecord(time.Hour)
	b.store(record.KindCall, old.ID, old)
	w := newWire(t, b, net.Dial)
	v := signedIn(t, b, desktop(), "/logs/calls")
	v.see(v.text("live.live"), v.text("log.shown.all", "n", "1"))
	v.expect("net::ERR_")
	w.pull()
	v.see(v.text("live.broken"))
	missed := callRecord(time.Minute)
	b.store(record.KindCall, missed.ID, missed)
	w.putBack()
	v.press(v.text("log.fresh", "n", "1"))
	v.see(v.text("log.shown.all", "n", "2"))
}

// quiet is whether nothing was fetched for a while.
const quiet = "performance.now() - Math.max(...performance.getEntriesByType('resource').map((e) => e.responseEnd)) > 1500"

// TestIdle: before the sign-in ends for want of a sign of life, the page asks; one key keeps it.
func TestIdle(t *testing.T) {
	t.Parallel()
	b := startBox(t)
	b.setUp()
	v := signedIn(t, b, desktop(), "/users")
	v.see(v.text("live.live"), v.text("users.none"))
	v.await(quiet, "a page that asks nothing any more") // each answer is a sign of life
	evaluate[bool](v, "(() => { const real = Date.now; Date.now = () => real() + 14.3 * 60 * 1000; return true; })()")
	v.see(v.text("idle.title"))
	v.check("idle")
	v.press(v.text("idle.stay"))
	v.gone(v.text("idle.title"))
	v.see(v.text("users.none"))
}

// TestPartAway: what cannot be asked is said, with a way to try again; the rest works.
func TestPartAway(t *testing.T) {
	t.Parallel()
	b := startBox(t)
	b.setUp()
	v := signedIn(t, b, desktop(), "/")
	v.see(v.text("health.title"))
	v.expect("status of 503")
	b.sw.Leave()
	v.see(v.text("health.bad"), v.text("away.switchd"))
	v.check("overview-away")
	v.menu("nav.users")
	v.see(v.text("act.retry"))
	v.check("users-away")
	b.sw.Return()
	v.press(v.text("act.retry"))
	v.see(v.text("users.none"))
	v.menu("nav.overview")
	v.gone(v.text("away.switchd"))
}

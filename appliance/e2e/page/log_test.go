package page

import (
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/record"
)

// TestLogOfABusyBox pages through many calls, filters them and finds one by its Call-ID.
func TestLogOfABusyBox(t *testing.T) {
	t.Parallel()
	b := startBox(t)
	b.setUp()
	for i := range 120 {
		c := callRecord(time.Duration(i+10) * time.Minute)
		if i == 77 {
			c.Caller = record.Party{User: "rare.caller", Number: "277"}
			c.CallID, c.Legs[0].CallID = "needle@192.0.2.1", "needle@192.0.2.1"
		}
		b.store(record.KindCall, c.ID, c)
	}
	v := signedIn(t, b, desktop(), "/logs/calls?when=all")
	v.see(v.text("log.shown.more", "n", "50"))
	v.press(v.text("log.older"))
	v.see(v.text("log.shown.more", "n", "100"))
	v.press(v.text("log.older"))
	v.see(v.text("log.shown.all", "n", "120"))
	v.press(v.text("filter.more"))
	v.fill(v.text("filter.callid"), "needle@192.0.2.1")
	v.key("\t")
	v.see(v.text("log.shown.all", "n", "1"), "rare.caller")
	v.check("log-needle")
	v.press(v.text("filter.clear"))
	v.fill(v.text("filter.text"), "rare.caller")
	v.see(v.text("log.shown.all", "n", "1"))
	v.choose(v.text("filter.when"), "custom")
	v.see(v.text("filter.from"))
	v.check("log-custom")
	v.choose(v.text("filter.when"), "all") // the call may have been before midnight, where it begins
	v.see(v.text("log.shown.all", "n", "1"))
	v.press(v.text("act.export.json"))
	if text := v.download("calls-*.json"); strings.Count(text, "\n") != 1 || !strings.Contains(text, "rare.caller") {
		t.Errorf("exported: %s", text)
	}
}

// TestLinkToACall opens a call by its address, though it is older than what the log shows.
func TestLinkToACall(t *testing.T) {
	t.Parallel()
	b := startBox(t)
	b.setUp()
	old := callRecord(20 * 24 * time.Hour)
	b.store(record.KindCall, old.ID, old)
	v := signedIn(t, b, phone(), "/logs/calls?id="+old.ID)
	v.see(v.text("call.picture"), "4:12")
	v.press(v.text("act.close"))
	v.see(v.text("log.none"))
}

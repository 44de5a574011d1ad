package page

import (
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// TestPushHealth is an admin who looks whether a user's phones can be woken, and what to do where not.
func TestPushHealth(t *testing.T) {
	t.Parallel()
	for _, l := range looks() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			b := startBox(t)
			b.setUp()
			u := b.addUsers(1)[0]
			just := time.Now().Add(-3 * time.Minute)
			for id, h := range map[string]*ctl.PushHealth{
				"desk":    nil,
				"able":    {Able: true, Tried: just, Sent: just},
				"nobody":  {},
				"gone":    {Fault: ctl.PushGone, Error: "the app is not on the device any more: Unregistered", Tried: time.Now(), Sent: just},
				"refused": {Able: true, Fault: ctl.PushRefused, Error: "the provider refuses the note: 403 InvalidProviderToken", Tried: just},
			} {
				r := registration(id, u.Name, u.ID)
				r.UserAgent, r.Push, r.Asleep = id+"/1", h, id == "able"
				b.sw.Register(r)
			}
			v := signedIn(t, b, l, "/devices")
			v.heading(v.text("nav.devices"))
			v.see(v.text("wake.none"), v.text("wake.asleep"), v.text("wake.able"), v.text("wake.sent"), v.text("wake.nobody"), v.text("wake.cure.nobody"),
				v.text("wake.failed"), v.text("wake.cure.gone"), v.text("wake.cure.refused"), "403 InvalidProviderToken")
			v.check("devices-waking")
			tried := registration("nobody", u.Name, u.ID)
			tried.Push = &ctl.PushHealth{Able: true, Fault: ctl.PushTrouble, Error: "ask the relay: connection refused", Tried: time.Now()}
			b.sw.Register(tried) // while the page is looked at
			v.see(v.text("wake.cure.trouble"), "connection refused")
			v.gone(v.text("wake.nobody"))

			v.open("/users?id=" + u.ID)
			v.see("able/1", v.text("wake.asleep"), v.text("wake.able"), v.text("wake.cure.gone"))
			v.check("user-waking")
		})
	}
}

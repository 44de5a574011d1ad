package call

import (
	"testing"

	"github.com/coraltele/sanchar/pkg/pbx/account"
	"github.com/coraltele/sanchar/pkg/pbx/edge"
)

// TestTheBoxsOwnCallsAreNobodysBusiness has the box call itself where everything is recorded.
func TestTheBoxsOwnCallsAreNobodysBusiness(t *testing.T) {
	t.Parallel()
	run(t, func(r *rig) {
		const one, two = "sanchar-check-one", "sanchar-check-two"
		for _, name := range []string{one, two} {
			r.users[name] = &account.Account{ID: "id-" + name, Name: name}
		}
		r.ruled(nil)
		a, b := r.phone(one, 1000, edge.UDP), r.phone(two, 1000, edge.UDP)
		r.talk(a, b)
		if live := r.eng.List(); len(live) != 0 {
			t.Errorf("it is shown: %+v", live)
		}
		r.restart()
		r.hangUp(a, b)
		r.empty()
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.records) != 0 || len(r.events) != 0 || len(r.relay.acts) != 0 {
			t.Errorf("records %+v, events %+v, recorder %v", r.records, r.events, r.relay.acts)
		}
	})
}

func TestNobodyReachesTheBoxsOwnAccounts(t *testing.T) {
	t.Parallel()
	run(t, func(r *rig) {
		const own = "sanchar-check-one"
		r.users[own] = &account.Account{ID: "id-" + own, Name: own}
		p, a := r.phone(own, 1000, edge.TCP), r.phone("alice", 1000, edge.TCP)
		a.call("sip:"+own+"@"+domain, "", sdpOf(a, 4000, ""))
		a.expect("SIP/2.0 100")
		a.ack(a.expect("SIP/2.0 404"), "")
		if got := r.only(); got.Callee.User != "" || got.Code != 404 {
			t.Errorf("%+v", got)
		}
		p.call("sip:alice@"+domain, "", sdpOf(p, 4000, ""))
		p.expect("SIP/2.0 100")
		p.ack(p.expect("SIP/2.0 404"), "")
		a.quiet()
		r.empty()
	})
}

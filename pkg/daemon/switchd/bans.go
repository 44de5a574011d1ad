package switchd

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// maxBans bounds what is told to who listens anew: as many as the edge remembers.
const maxBans = 8192

// bans are the sources that the edge bans now, for netd: it may come later than they did.
type bans struct {
	mu    sync.Mutex // guards until
	until map[netip.Prefix]time.Time
}

// add keeps a ban; one that finds no place is only told.
func (b *bans) add(ban ctl.Ban, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.until == nil {
		b.until = map[netip.Prefix]time.Time{}
	}
	if len(b.until) >= maxBans {
		b.forgetLocked(now)
	}
	if len(b.until) < maxBans {
		b.until[ban.Source] = ban.Until
	}
}

func (b *bans) forgetLocked(now time.Time) {
	for source, until := range b.until {
		if !until.After(now) {
			delete(b.until, source)
		}
	}
}

func (b *bans) list(now time.Time) (all []ctl.Ban) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forgetLocked(now)
	for source, until := range b.until {
		all = append(all, ctl.Ban{Source: source, Until: until})
	}
	return all
}

// banned tells whom the edge bans, and with a time that has come whose ban is over early.
func (d *Daemon) banned(source netip.Prefix, until time.Time) {
	ban := ctl.Ban{Source: source, Until: until.UTC()}
	d.bans.add(ban, time.Now())
	d.hub.tell(ctl.SwitchEvent{Banned: &ban})
}

// liftBan lets a source be heard again.
func (d *Daemon) liftBan(r *http.Request, _ ctl.None) (none ctl.None, err error) {
	text := r.URL.Query().Get("source")
	source, err := netip.ParsePrefix(text)
	if a, wrong := netip.ParseAddr(text); wrong == nil {
		source, err = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	if err != nil {
		return none, problem.Fields("ban", []problem.Fault{{Path: "source", Value: text, Rule: "is an address that is banned", Cure: "write it as 192.0.2.1 or 2001:db8::/64"}})
	}
	if !d.edge.Pardon(source.Addr().WithZone("")) {
		return none, problem.New(problem.Missing, "ban", source.String()+" is not banned", "its ban may be over; look at the list again")
	}
	return none, nil
}

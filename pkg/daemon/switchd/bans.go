package switchd

import (
	"net/netip"
	"sync"
	"time"

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

// banned tells whom the edge bans.
func (d *Daemon) banned(source netip.Prefix, until time.Time) {
	ban := ctl.Ban{Source: source, Until: until.UTC()}
	d.bans.add(ban, time.Now())
	d.hub.tell(ctl.SwitchEvent{Banned: &ban})
}

package mediad

import (
	"fmt"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// portsLow is the part of an address's port range from which an admin should hear of it.
const portsLow = 0.9

// alarms remembers since when something is wrong. The zero value is ready.
type alarms struct {
	mu    sync.Mutex // guards what follows
	since map[string]time.Time
}

// look returns what is wrong now.
func (a *alarms) look(fullest float64, faults int, unreached bool, more ...ctl.Alarm) (out []ctl.Alarm) {
	out = append(out, more...)
	if fullest >= portsLow {
		out = append(out, ctl.Alarm{
			Code: "media.ports.low", Text: fmt.Sprintf("%.0f %% of the media ports are in use", 100*fullest),
			Cure: "widen the range of media ports: each call takes four for audio and four for video",
		})
	}
	if faults > 0 {
		out = append(out, ctl.Alarm{
			Code: "media.fault", Text: fmt.Sprintf("%d media streams were ended by a fault of the box", faults),
			Cure: "send the log to support",
		})
	}
	if unreached {
		out = append(out, ctl.Alarm{
			Code: "media.stun", Text: "the STUN and TURN server does not run",
			Cure: "see the log of mediad; another program may have its port",
		})
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	since := map[string]time.Time{}
	for i := range out {
		at, known := a.since[out[i].Code]
		if !known {
			at = time.Now()
		}
		since[out[i].Code], out[i].Since = at, at
	}
	a.since = since
	return out
}

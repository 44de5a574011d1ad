package registrar

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/sip/gruu"
	"github.com/coraltele/sanchar/pkg/sip/pn"
)

// Binding is one device of a user and the way to it.
type Binding struct {
	ID        string    `json:"id"`
	UserID    string    `json:"user_id"`
	User      string    `json:"user"`             // name of the account
	Device    string    `json:"device,omitempty"` // its login, if it has a secret of its own
	AoR       string    `json:"aor"`              // sip:user@domain
	Contact   string    `json:"contact"`          // URI
	Instance  string    `json:"instance,omitempty"`
	RegID     int       `json:"reg_id,omitempty"`
	Q         int       `json:"q"` // thousandths
	Path      []string  `json:"path,omitempty"`
	CallID    string    `json:"call_id"`
	CSeq      uint32    `json:"cseq"`
	UserAgent string    `json:"user_agent,omitempty"`
	Asked     int       `json:"asked"`   // seconds
	Granted   int       `json:"granted"` // seconds
	First     time.Time `json:"first"`
	Refreshed time.Time `json:"refreshed"`
	Expires   time.Time `json:"expires"`
	Refreshes uint64    `json:"refreshes"`
	GRUU      bool      `json:"gruu,omitempty"` // the device asked for one
	RecordID  string    `json:"record_id"`

	Transport edge.Transport `json:"transport"`
	Local     netip.AddrPort `json:"local"`
	Remote    netip.AddrPort `json:"remote"`

	flow edge.Flow
	heap int       // place in the queue of expiries
	due  time.Time // when the queue looks at it again: Expires, or earlier
}

// PublicGRUU returns the URI that reaches this device from anywhere, "" if it has no instance.
func (b *Binding) PublicGRUU() string {
	if b.Instance == "" {
		return ""
	}
	return string(gruu.AppendPublic(nil, b.AoR, b.Instance))
}

func (b *Binding) features() (f []string) {
	if b.GRUU {
		f = append(f, "gruu")
	}
	if b.RegID > 0 {
		f = append(f, "outbound")
	}
	if len(b.Path) > 0 {
		f = append(f, "path")
	}
	if _, ok := b.Push(); ok {
		f = append(f, "push")
	}
	return f
}

// Push returns how the device is woken when it cannot be reached, as it says in its contact.
func (b *Binding) Push() (p pn.Params, ok bool) { return pn.Of(b.Contact) }

// Registration returns the binding as an admin sees it.
func (b *Binding) Registration() ctl.Registration {
	return ctl.Registration{
		ID: b.ID, User: b.User, UserID: b.UserID, AoR: b.AoR, Contact: b.Contact, Instance: b.Instance, Source: b.Remote,
		Transport: b.Transport.Param(), UserAgent: b.UserAgent, Q: float64(b.Q) / 1000, Registered: b.First, Refreshed: b.Refreshed,
		Expires: b.Expires, Features: b.features(),
	}
}

// appendContact appends the Contact line of a 200 (RFC 3261 §10.3 item 8, RFC 5627 §5.1).
func (b *Binding) appendContact(dst []byte, now time.Time, wantsGRUU bool) []byte {
	dst = append(append(dst, "Contact: <"...), b.Contact...)
	dst = append(dst, ">;expires="...)
	dst = strconv.AppendInt(dst, max(int64(b.Expires.Sub(now)/time.Second), 0), 10)
	if b.Q != 1000 {
		dst = append(dst, fmt.Sprintf(";q=0.%03d", b.Q)...)
	}
	if b.Instance != "" {
		dst = append(append(append(dst, `;+sip.instance="<`...), b.Instance...), `>"`...)
		if wantsGRUU {
			dst = append(gruu.AppendPublic(append(dst, `;pub-gruu="`...), b.AoR, b.Instance), '"')
		}
	}
	if b.RegID > 0 {
		dst = strconv.AppendInt(append(dst, ";reg-id="...), int64(b.RegID), 10)
	}
	return append(dst, '\r', '\n')
}

// sameDevice reports whether a contact names this binding's device: by instance and flow where
// there is one (RFC 5626 §6), else by its URI (RFC 3261 §10.3 item 7).
func (b *Binding) sameDevice(instance string, regID int, contact string) bool {
	if instance != "" || b.Instance != "" {
		return b.Instance == instance && b.RegID == regID
	}
	return strings.EqualFold(b.Contact, contact)
}

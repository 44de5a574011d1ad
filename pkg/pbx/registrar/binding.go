package registrar

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/journal"
	"github.com/coraltele/sanchar/pkg/sip/gruu"
	"github.com/coraltele/sanchar/pkg/sip/pn"
)

// Binding is one device of a user and the way to it.
type Binding struct {
	ID        string    `json:"id"`
	UserID    string    `json:"user_id"`
	User      string    `json:"user"`    // name of the account
	AoR       string    `json:"aor"`     // sip:user@domain
	Contact   string    `json:"contact"` // URI
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

// Frames of the journal: a whole binding, a refresh, a removal, and an end with nothing missing.
const (
	frameSet     = 'S'
	frameRefresh = 'R'
	frameDrop    = 'D'
	frameClean   = 'C'
)

func (b *Binding) appendSet(dst []byte) []byte {
	data, err := json.Marshal(b)
	if err != nil {
		return dst // a struct of texts and numbers always encodes
	}
	return append(append(dst, frameSet), data...)
}

func (b *Binding) appendRefresh(dst []byte) []byte {
	dst = append(dst, frameRefresh)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(b.Refreshed.UnixMilli()))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(b.Expires.UnixMilli()))
	dst = binary.LittleEndian.AppendUint64(dst, b.Refreshes)
	dst = binary.LittleEndian.AppendUint32(dst, b.CSeq)
	dst = append(append(dst, byte(len(b.ID))), b.ID...)
	return append(dst, b.CallID...)
}

func (b *Binding) appendDrop(dst []byte) []byte { return append(append(dst, frameDrop), b.ID...) }

const refreshHead = 1 + 8 + 8 + 8 + 4 + 1

var errFrame = errors.New("unknown frame")

// replayed is what the journal says, frame by frame.
type replayed struct {
	byID   map[string]*Binding
	latest time.Time // of what it tells
	clean  bool      // the last frame said that nothing is missing
}

func (r *replayed) frame(frame []byte) error {
	r.clean = frame[0] == frameClean
	switch frame[0] {
	case frameClean:
	case frameSet:
		b := new(Binding)
		if err := json.Unmarshal(frame[1:], b); err != nil {
			return err
		}
		r.byID[b.ID] = b
		r.note(b)
	case frameDrop:
		delete(r.byID, string(frame[1:]))
	case frameRefresh:
		return r.refresh(frame)
	default:
		return errFrame
	}
	return nil
}

func (r *replayed) refresh(frame []byte) error {
	if len(frame) < refreshHead || len(frame) < refreshHead+int(frame[refreshHead-1]) {
		return errFrame
	}
	id := frame[refreshHead:][:frame[refreshHead-1]]
	b := r.byID[string(id)]
	if b == nil {
		return nil
	}
	b.Refreshed = time.UnixMilli(int64(binary.LittleEndian.Uint64(frame[1:]))).UTC()
	b.Expires = time.UnixMilli(int64(binary.LittleEndian.Uint64(frame[9:]))).UTC()
	b.Refreshes = binary.LittleEndian.Uint64(frame[17:])
	b.CSeq = binary.LittleEndian.Uint32(frame[25:])
	b.CallID = string(frame[refreshHead+len(id):])
	r.note(b)
	return nil
}

func (r *replayed) note(b *Binding) {
	if b.Refreshed.After(r.latest) {
		r.latest = b.Refreshed
	}
}

// makeGood gives devices what they were promised by refreshes that a crash has kept from the disk.
// Such a binding was alive when the disk was last written to, or a moment before; nobody knows which
// they are, so all those that were get their whole time anew.
func (r *replayed) makeGood(now time.Time) {
	if r.clean {
		return
	}
	for _, b := range r.byID {
		if whole := now.Add(time.Duration(b.Granted) * time.Second); b.Expires.After(r.latest.Add(-journal.LaterTime)) && b.Expires.Before(whole) {
			b.Expires = whole
		}
	}
}

// sameDevice reports whether a contact names this binding's device: by instance and flow where
// there is one (RFC 5626 §6), else by its URI (RFC 3261 §10.3 item 7).
func (b *Binding) sameDevice(instance string, regID int, contact string) bool {
	if instance != "" || b.Instance != "" {
		return b.Instance == instance && b.RegID == regID
	}
	return strings.EqualFold(b.Contact, contact)
}

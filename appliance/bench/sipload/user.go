package sipload

import (
	"crypto/md5" //nolint:gosec // RFC 8760 §2.4: what phones have
	"encoding/hex"
	"net/netip"
	"strconv"
	"time"
)

// user is one phone.
type user struct {
	name  string
	local netip.AddrPort // of its flow
	ha1   [2 * md5.Size]byte
	start uint32 // counts Call-IDs of its registrations
	cseq  uint32
	nonce []byte
	nc    uint32
	slot  int32 // of what it does
}

// idle is the slot of a user who does nothing.
const idle = -1

func (u *user) init(cfg Config, i int, local netip.AddrPort) {
	u.name, u.local, u.slot = Name(cfg.First+i), local, idle
	sum := md5.Sum([]byte(u.name + ":" + cfg.Domain + ":" + Password)) //nolint:gosec // see the import
	hex.Encode(u.ha1[:], sum[:])
}

// learn takes the nonce of a challenge.
func (u *user) learn(nonce []byte) { u.nonce, u.nc = append(u.nonce[:0], nonce...), 0 }

// cnonce could be any: nobody guesses passwords here.
const cnonce = "0a4f113b"

// appendCredentials appends the header that answers the challenge last learnt (RFC 7616 §3.4).
func (u *user) appendCredentials(dst []byte, header, method, uri, realm string) []byte {
	u.nc++
	var ncText [8]byte
	nc := appendHex8(ncText[:0], u.nc)

	var buf [512]byte
	ha2 := md5.Sum(append(append(append(buf[:0], method...), ':'), uri...)) //nolint:gosec // see the import
	text := append(append(append(buf[:0], u.ha1[:]...), ':'), u.nonce...)
	text = append(append(append(text, ':'), nc...), ":"+cnonce+":auth:"...)
	sum := md5.Sum(hex.AppendEncode(text, ha2[:])) //nolint:gosec // see the import

	dst = append(append(dst, header...), `: Digest username="`...)
	dst = append(append(dst, u.name...), `", realm="`...)
	dst = append(append(dst, realm...), `", nonce="`...)
	dst = append(append(dst, u.nonce...), `", uri="`...)
	dst = append(append(dst, uri...), `", response="`...)
	dst = hex.AppendEncode(dst, sum[:])
	dst = append(dst, `", algorithm=MD5, cnonce="`+cnonce+`", qop=auth, nc=`...)
	return append(append(dst, nc...), "\r\n"...)
}

func appendHex8(dst []byte, n uint32) []byte {
	for shift := 28; shift >= 0; shift -= 4 {
		dst = append(dst, "0123456789abcdef"[n>>shift&15])
	}
	return dst
}

// appendContact appends the Contact line of the user's phone.
func (l *Load) appendContact(dst []byte, u *user) []byte {
	dst = append(append(dst, "Contact: <sip:"...), u.name...)
	dst = u.local.AppendTo(append(dst, '@'))
	if l.cfg.TCP {
		dst = append(dst, ";transport=tcp"...)
	}
	return append(dst, ">\r\n"...)
}

// step of an operation: what it waits for.
type step uint8

const (
	stepFree      step = iota
	stepChallenge      // REGISTER or INVITE without credentials was sent
	stepFinal          // REGISTER or INVITE with credentials was sent
	stepUp             // ACK was sent; the callee waits for it
	stepHeld           // a call that stays
	stepBye            // BYE was sent
)

func (s step) String() string {
	return [...]string{"nothing", "the challenge", "the final response", "the callee's ACK", "nothing", "the end"}[s]
}

// calleeStep is the same for the callee's phone.
type calleeStep uint8

const (
	calleeIdle calleeStep = iota
	calleeRinging
	calleeAnswered
	calleeUp
	calleeEnded
)

// slot is one operation under way.
type slot struct {
	id         int32
	serial     uint32 // of the operation: in its branches, tags and Call-IDs
	user, peer int32
	step       step
	cseq       uint32
	sent       time.Time // the latest message
	tries      int       // how often it was sent again
	last       []byte    // the latest request
	challenged bool      // a REGISTER was refused once

	target, to, routes []byte // of the caller's dialog
	callee             calleeStep
	rung               bool   // the caller heard 180
	over               bool   // the caller heard the end
	head               []byte // of the callee's responses: what stands between status line and body
	calleeLast         []byte // the callee's latest response
}

// branchMark starts our branches, so that a response says which operation it belongs to.
const branchMark = "z9hG4bKk"

// appendVia appends the Via line of a request of this operation; n tells its requests apart.
func (l *Load) appendVia(dst []byte, s *slot, n uint32) []byte {
	transport := "UDP "
	if l.cfg.TCP {
		transport = "TCP "
	}
	dst = append(append(dst, "Via: SIP/2.0/"...), transport...)
	dst = l.users[s.user].local.AppendTo(dst)
	dst = strconv.AppendUint(append(dst, ";rport;branch="+branchMark...), uint64(s.id), 16)
	dst = strconv.AppendUint(append(dst, '.'), uint64(s.serial), 16)
	dst = strconv.AppendUint(append(dst, '.'), uint64(n), 16)
	return append(dst, "\r\n"...)
}

// slotOf finds the operation of a response by its branch; nil if it is over.
func (l *Load) slotOf(branch []byte) *slot {
	if len(branch) < len(branchMark) {
		return nil
	}
	id, rest := hexNumber(branch[len(branchMark):])
	if len(rest) == 0 || int(id) >= len(l.slots) {
		return nil
	}
	serial, _ := hexNumber(rest[1:])
	s := &l.slots[id]
	if s.serial != serial || s.step == stepFree {
		return nil
	}
	return s
}

func hexNumber(b []byte) (n uint32, rest []byte) {
	for i, c := range b {
		switch {
		case '0' <= c && c <= '9':
			n = n<<4 | uint32(c-'0')
		case 'a' <= c && c <= 'f':
			n = n<<4 | uint32(c-'a'+10)
		default:
			return n, b[i:]
		}
	}
	return n, nil
}

package ice

import (
	"crypto/hmac"
	"crypto/sha1"
	"net/netip"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/media/stun"
)

// request is a check by user, signed with pwd, and what add puts in.
func request(user, pwd string, add func(*stun.Builder)) stun.Message {
	w := stun.New(nil, stun.Binding|stun.Request, stun.TransactionID{1, 2, 3})
	w.AddString(stun.AttrUsername, user)
	w.AddUint32(stun.AttrPriority, 1853824767)
	if add != nil {
		add(w)
	}
	w.Sign(hmac.New(sha1.New, []byte(pwd)))
	return w.Mark()
}

func controlling(w *stun.Builder) { w.AddUint64(stun.AttrControlling, 1) }

func TestAgent(t *testing.T) {
	t.Parallel()
	ours := NewCredentials()
	from := netip.MustParseAddrPort("192.0.2.1:5000")
	user := ours.Ufrag + ":them"
	for name, c := range map[string]struct {
		m      stun.Message
		want   Check
		answer int // 0 for none, 200 for success
	}{
		"a check": {request(user, ours.Pwd, controlling), Check{Authentic: true, Priority: 1853824767}, 200},
		"a nomination": {request(user, ours.Pwd, func(w *stun.Builder) {
			controlling(w)
			w.Add(stun.AttrUseCandidate, nil)
		}), Check{Authentic: true, Nominated: true, Priority: 1853824767}, 200},
		"signed by another secret": {request(user, "another secret of the length", controlling), Check{}, 0},
		"for somebody else":        {request("else:them", ours.Pwd, controlling), Check{}, 0},
		"of somebody else":         {request(ours.Ufrag+":else", ours.Pwd, controlling), Check{}, 0},
		"of a party that thinks we control": {request(user, ours.Pwd, func(w *stun.Builder) {
			w.AddUint64(stun.AttrControlled, 1)
		}), Check{}, 487},
		"with an attribute that must be understood": {request(user, ours.Pwd, func(w *stun.Builder) { w.AddUint32(0x7001, 1) }), Check{}, 420},
		"unsigned": {stun.New(nil, stun.Binding|stun.Request, stun.TransactionID{}).Mark(), Check{}, 0},
		"no request": {func() stun.Message {
			w := stun.New(nil, stun.Binding|stun.Indication, stun.TransactionID{})
			return w.Mark()
		}(), Check{}, 0},
	} {
		a := NewAgent(ours, "them")
		answer, got := a.Answer(c.m, from)
		if got != c.want || (answer == nil) != (c.answer == 0) {
			t.Errorf("%s: %+v, answer % x", name, got, answer)
			continue
		}
		if answer == nil {
			continue
		}
		m, ok := stun.Parse(answer)
		if !ok || m.ID() != c.m.ID() || !m.Authentic(hmac.New(sha1.New, []byte(ours.Pwd))) || !m.Marked() || len(m) > len(c.m)+40 {
			t.Errorf("%s: answer % x", name, answer)
		}
		mapped, _ := m.XORAddress(stun.AttrXORMappedAddress)
		if c.answer == 200 && (m.Type() != stun.Binding|stun.Success || mapped != from) || c.answer != 200 && m.ErrorCode() != c.answer {
			t.Errorf("%s: type %x, address %s, error %d", name, m.Type(), mapped, m.ErrorCode())
		}
	}
}

// Checks may come before the answer that tells the party's fragment.
func TestEarlyCheck(t *testing.T) {
	t.Parallel()
	ours := NewCredentials()
	a := NewAgent(ours, "")
	if _, c := a.Answer(request(ours.Ufrag+":whoever", ours.Pwd, controlling), netip.MustParseAddrPort("[2001:db8::1]:9")); !c.Authentic {
		t.Error("refused")
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	a, b := NewCredentials(), NewCredentials()
	if a == b || !a.Valid() || strings.ContainsAny(a.Ufrag+a.Pwd, " =-_") || (Credentials{"abc", a.Pwd}).Valid() || (Credentials{a.Ufrag, "short"}).Valid() {
		t.Errorf("%+v", a)
	}
}

func TestPassage(t *testing.T) {
	t.Parallel()
	party, other := NewCredentials(), NewCredentials()
	p := NewPassage(party, other)
	user := other.Ufrag + ":" + party.Ufrag
	response := func(pwd string, typ stun.Type) stun.Message {
		w := stun.New(nil, typ, stun.TransactionID{})
		w.Sign(hmac.New(sha1.New, []byte(pwd)))
		return w.Mark()
	}
	for name, c := range map[string]struct {
		m    stun.Message
		want bool
	}{
		"request":                     {request(user, other.Pwd, nil), true},
		"request by the own secret":   {request(user, party.Pwd, nil), false},
		"request the other way round": {request(party.Ufrag+":"+other.Ufrag, other.Pwd, nil), false},
		"response":                    {response(party.Pwd, stun.Binding|stun.Success), true},
		"error":                       {response(party.Pwd, stun.Binding|stun.Error), true},
		"response by the other's":     {response(other.Pwd, stun.Binding|stun.Success), false},
		"indication":                  {response(party.Pwd, stun.Binding|stun.Indication), false},
		"of another method":           {response(party.Pwd, 3|stun.Success), false},
	} {
		if got := p.Judge(c.m).Authentic; got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestStrangersCostNoMemory(t *testing.T) {
	a := NewAgent(NewCredentials(), "them")
	m := request("else:them", "x", controlling)
	from := netip.MustParseAddrPort("192.0.2.1:5000")
	if n := testing.AllocsPerRun(100, func() { a.Answer(m, from) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzAnswer(f *testing.F) {
	ours := Credentials{"abcd", "0123456789012345678901"}
	f.Add([]byte(request("abcd:them", ours.Pwd, controlling)))
	f.Add([]byte(request("abcd", ours.Pwd, nil)))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, ok := stun.Parse(b)
		if !ok {
			return
		}
		if answer, c := NewAgent(ours, "them").Answer(m, netip.MustParseAddrPort("192.0.2.1:1")); c.Authentic && answer == nil {
			t.Error("an authentic check was not answered")
		}
		NewPassage(ours, ours).Judge(m)
	})
}

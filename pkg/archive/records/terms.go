package records

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/coraltele/sanchar/pkg/archive/search"
	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/record"
)

// maxTerm bounds an indexed value: strangers choose Call-IDs and user names, and a key of bbolt
// is copied into every page that points to it.
const maxTerm = 128

// maxData bounds one record. A call with 64 legs and their streams is about 60 KB.
const maxData = 256 << 10

// terms are the values that a record is found by.
type terms map[record.Field][]string

func (t terms) add(f record.Field, values ...string) {
	for _, v := range values {
		if v = normal(v); v != "" {
			t[f] = append(t[f], v)
		}
	}
}

func (t terms) addAddr(f record.Field, a netip.Addr) {
	if a.IsValid() {
		t.add(f, normalAddr(a))
	}
}

// normalAddr writes an address as an admin would: an IPv4 one as such, without a zone.
func normalAddr(a netip.Addr) string { return a.Unmap().WithZone("").String() }

// normal makes values equal that a person would call the same. A NUL would end the value in a key.
func normal(v string) string {
	v = strings.ToLower(strings.TrimSpace(strings.ReplaceAll(v, "\x00", "")))
	if len(v) <= maxTerm {
		return v
	}
	for cut := maxTerm; ; cut-- {
		if utf8.RuneStart(v[cut]) {
			return v[:cut]
		}
	}
}

// normalQuery makes a value that was asked for look as the indexed ones do.
func normalQuery(f record.Field, v string) string {
	if f == record.FieldSource {
		if a, err := netip.ParseAddr(strings.TrimSpace(v)); err == nil {
			return normalAddr(a)
		}
	}
	return normal(v)
}

// termsOf reads a record. A record that cannot be read can never be stored.
func termsOf(e record.Envelope) (terms, error) {
	t := terms{}
	switch e.Kind {
	case record.KindCall:
		return t, read(e.Data, func(c *record.Call) { t.ofCall(c) })
	case record.KindRegistration:
		return t, read(e.Data, func(r *record.Registration) {
			t.add(record.FieldUser, r.User)
			t.add(record.FieldAoR, r.AoR)
			t.addAddr(record.FieldSource, r.Source.Addr())
			t.add(record.FieldInstance, r.Instance)
			t.add(record.FieldResult, r.Result)
			t.add(record.FieldCallID, r.CallID)
		})
	case record.KindAuthFailure:
		return t, read(e.Data, func(f *record.AuthFailure) {
			t.addAddr(record.FieldSource, f.Source)
			t.add(record.FieldUser, f.Username)
			t.add(record.FieldReason, f.Reason)
		})
	case record.KindAudit:
		return t, read(e.Data, func(a *record.Audit) {
			t.add(record.FieldWho, a.Who)
			t.add(record.FieldAct, a.Act)
		})
	case record.KindMessage:
		return t, read(e.Data, func(m *record.Message) { t.ofMessage(m) })
	case record.KindRecording:
		return t, read(e.Data, func(r *record.Recording) {
			t.ofParty(r.Caller)
			t.ofParty(r.Callee)
			t.add(record.FieldCall, r.Call)
			t.add(record.FieldWhy, r.Why)
		})
	}
	return nil, fmt.Errorf("kind %q is unknown", e.Kind)
}

func read[T any](data json.RawMessage, use func(*T)) error {
	v := new(T)
	if err := json.Unmarshal(data, v); err != nil {
		return err
	}
	use(v)
	return nil
}

func (t terms) ofCall(c *record.Call) {
	t.add(record.FieldStatus, c.Status)
	t.add(record.FieldNumber, c.Dialed)
	t.add(record.FieldCallID, c.CallID)
	t.ofParty(c.Caller)
	t.ofParty(c.Callee)
	for _, l := range c.Legs {
		t.ofParty(l.Party)
		t.add(record.FieldCallID, l.CallID)
	}
}

func (t terms) ofMessage(m *record.Message) {
	t.add(record.FieldType, m.Type)
	t.add(record.FieldStatus, m.Status)
	t.add(record.FieldThread, m.Thread)
	t.add(record.FieldSender, m.Sender.User)
	t.add(record.FieldRecipient, m.Recipient.User)
	t.ofParty(m.Sender)
	t.ofParty(m.Recipient)
	t.add(record.FieldCallID, m.CallID)
	t.add(record.FieldMessageID, m.MessageID)
	t.add(record.FieldRefers, m.About, m.Reply, m.Replaces, m.Retracts)
	words := m.Text
	for _, f := range m.Files {
		words += "\n" + f.Name
	}
	t[fieldWord] = search.Words(words)
}

func (t terms) ofParty(p record.Party) {
	t.add(record.FieldUser, p.User)
	t.add(record.FieldNumber, p.Number)
}

// check refuses a batch that holds a record which can never be stored, and names every such record.
func check(batch []record.Envelope) ([]terms, error) {
	var faults []problem.Fault
	all := make([]terms, len(batch))
	for i, e := range batch {
		path := fmt.Sprintf("records[%d]", i)
		if _, ok := ids.RecordTime(e.ID); !ok {
			faults = append(faults, problem.Fault{
				Path: path + ".id", Value: e.ID, Rule: "26 characters of a record id that tell its time", Cure: "make it with ids.Record",
			})
			continue
		}
		if len(e.Data) > maxData {
			faults = append(faults, problem.Fault{
				Path: path + ".data", Value: fmt.Sprintf("%d bytes", len(e.Data)), Rule: fmt.Sprintf("at most %d bytes", maxData), Cure: "send less of it",
			})
			continue
		}
		t, err := termsOf(e)
		if err != nil {
			faults = append(faults, problem.Fault{
				Path: path, Value: string(e.Kind) + " " + e.ID, Rule: "a record that can be read: " + err.Error(), Cure: "see the types in pkg/record",
			})
		}
		all[i] = t
	}
	return all, problem.Fields(record.CodeRefused, faults)
}

package inbox

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/record"
)

// start is when the tests' messages come.
var start = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

const keep = 7 * 24 * time.Hour

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func fresh(t *testing.T) *Store {
	t.Helper()
	s := open(t, t.TempDir())
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func update(t *testing.T, s *Store, do func(*Tx)) {
	t.Helper()
	if err := s.Update(do); err != nil {
		t.Fatal(err)
	}
}

// item is the n-th message of a sender.
func item(from, to string, n int) (*Item, *Wire) {
	id := fmt.Sprint(from, "-", to, "-", n)
	i := &Item{SenderID: from, RecipientID: to, CallID: id, Tag: "t", CSeq: 1, Delete: start.Add(keep)}
	i.Rec = record.Message{
		ID: id, Type: record.MessageContent, CallID: id, Status: record.MessageStored, At: start, Expires: i.Delete,
		Sender: record.Party{User: from}, Recipient: record.Party{User: to},
	}
	return i, &Wire{Head: []byte("A: b\r\n"), Body: []byte(id)}
}

func bind(t *testing.T, s *Store, user, key string) {
	t.Helper()
	update(t, s, func(x *Tx) { x.Bind(user, Device{Key: key, Instance: key, Contact: key, Seen: start}) })
}

// model is what the inbox must be: for each device the messages that it is to get, in order.
type model struct {
	t       *testing.T
	s       *Store
	devices []string            // as "user key"
	want    map[string][]uint64 // by device
	n       int
}

func (m *model) step(r *rand.Rand) {
	switch r.IntN(10) {
	case 0, 1, 2:
		m.put(r)
	case 3:
		m.bind(r)
	default:
		m.take(r)
	}
}

// put sends a message, from a device of the sender if he has one.
func (m *model) put(r *rand.Rand) {
	users := []string{"a", "b", "c"}
	from, to := users[r.IntN(3)], users[r.IntN(3)]
	key := ""
	for _, d := range m.devices {
		if user, k, _ := strings.Cut(d, " "); user == from && from != to {
			key = k
		}
	}
	m.n++
	i, w := item(from, to, m.n)
	update(m.t, m.s, func(x *Tx) {
		if out := x.Put(i, w, key); out.Code != 0 || out.Again {
			m.t.Fatalf("message %d: %+v", m.n, out)
		}
	})
	for _, d := range m.devices {
		user, k, _ := strings.Cut(d, " ")
		if user == to || (user == from && key != "" && k != key) {
			m.want[d] = append(m.want[d], i.Seq)
		}
	}
}

// bind makes a device known, while nothing waits for its user: then it gets what comes from now on.
func (m *model) bind(r *rand.Rand) {
	user, key := []string{"a", "b", "c"}[r.IntN(3)], fmt.Sprint("dev", r.IntN(3))
	d := user + " " + key
	if len(m.devices) == 0 || slices.Contains(m.devices, d) {
		if len(m.devices) > 0 {
			bind(m.t, m.s, user, key) // again: it changes nothing
			return
		}
	}
	for _, other := range m.devices {
		if strings.HasPrefix(other, user+" ") && len(m.want[other]) > 0 {
			return
		}
	}
	if m.s.use.inbox[user] != nil {
		return
	}
	bind(m.t, m.s, user, key)
	m.devices = append(m.devices, d)
}

// take lets a device have its next message, or refuse it.
func (m *model) take(r *rand.Rand) {
	if len(m.devices) == 0 {
		return
	}
	d := m.devices[r.IntN(len(m.devices))]
	user, key, _ := strings.Cut(d, " ")
	var n Next
	if err := m.s.View(func(x *Tx) { n = x.Next(user, key) }); err != nil {
		m.t.Fatal(err)
	}
	want := m.want[d]
	if len(want) == 0 {
		if n.Item != nil {
			m.t.Fatalf("%s is to get message %d, and nothing waits for it", d, n.Item.Seq)
		}
		return
	}
	if n.Item == nil || n.Item.Seq != want[0] || string(n.Wire.Body) != n.Item.Rec.ID {
		m.t.Fatalf("%s is to get %+v, not message %d", d, n, want[0])
	}
	taken := r.IntN(4) > 0
	update(m.t, m.s, func(x *Tx) { x.Settle(user, user, key, want[0], Result{Taken: taken, Code: 200, At: start}) })
	m.want[d] = want[1:]
}

// Random messages, devices and answers, with the file closed and opened now and then: each device gets
// what it is to get, once and in order, and what all have leaves the inbox.
func TestAgainstModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			m := &model{t: t, s: open(t, dir), want: map[string][]uint64{}}
			r := rand.New(rand.NewPCG(seed, 1))
			for n := range 400 {
				m.step(r)
				if n%100 == 99 {
					total, entries := m.s.use.total, len(m.s.use.entries)
					if err := m.s.Close(); err != nil {
						t.Fatal(err)
					}
					m.s = open(t, dir)
					if m.s.use.total != total || len(m.s.use.entries) != entries {
						t.Fatalf("counted %+v and %d before, %+v and %d after", total, entries, m.s.use.total, len(m.s.use.entries))
					}
				}
			}
			for left := true; left; {
				left = false
				for _, w := range m.want {
					left = left || len(w) > 0
				}
				m.take(r)
			}
			for _, d := range m.devices {
				user, _, _ := strings.Cut(d, " ")
				update(t, m.s, func(x *Tx) {
					for _, dev := range x.Devices(user) { // those that sent copies have nothing more to come past
						x.Pass(user, dev.Key, x.Next(user, dev.Key).Pass, start)
					}
				})
				if n := m.s.use.entries[user]; n != 0 {
					t.Errorf("%d messages are left in the inbox of %s", n, user)
				}
			}
			if err := m.s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestQuotas(t *testing.T) {
	t.Parallel()
	s := fresh(t)
	s.use.inbox["full"] = &load{n: maxInbox}
	s.use.inbox["heavy"] = &load{bytes: maxInboxBytes}
	s.use.sender["busy"] = &load{n: maxSender}
	s.use.sender["wordy"] = &load{bytes: maxSenderBytes}
	update(t, s, func(x *Tx) {
		for _, c := range []struct {
			from, to string
			want     int
		}{{"a", "full", 480}, {"a", "heavy", 480}, {"busy", "a", 403}, {"wordy", "a", 403}, {"a", "b", 0}} {
			i, w := item(c.from, c.to, 1)
			if out := x.Put(i, w, ""); out.Code != c.want {
				t.Errorf("from %s to %s: %+v", c.from, c.to, out)
			}
		}
		i, w := item("busy", "full", 2)
		i.OwnWord = true
		if out := x.Put(i, w, ""); out.Code != 0 {
			t.Errorf("the box's own word: %+v", out)
		}
	})
}

// A device in a drawer does not keep its user from getting messages on the other.
func TestLongInboxLosesWhatADeviceHas(t *testing.T) {
	t.Parallel()
	s := fresh(t)
	bind(t, s, "b", "desk")
	bind(t, s, "b", "drawer")
	var first *Item
	update(t, s, func(x *Tx) {
		i, w := item("a", "b", 1)
		first = x.Put(i, w, "").Item
		x.Settle("b", "b", "desk", i.Seq, Result{Taken: true, At: start})
		s.use.entries["b"] = maxEntries
		i, w = item("a", "b", 2)
		if out := x.Put(i, w, ""); out.Code != 0 {
			t.Fatalf("%+v", out)
		}
		if n := x.Next("b", "drawer"); n.Item == nil || n.Item.Seq != i.Seq {
			t.Errorf("the device that was away is to get %+v", n)
		}
		if got := x.Item(first.Seq); got.Inboxes != 0 || !got.Taken {
			t.Errorf("the message that was taken out is %+v", got)
		}
	})
}

var errTest = errors.New("no space")

// What a transaction that fails has counted did not happen.
func TestFailedUpdateCountsNothing(t *testing.T) {
	t.Parallel()
	s := fresh(t)
	err := s.Update(func(x *Tx) {
		i, w := item("a", "b", 1)
		x.Put(i, w, "")
		x.note(errTest)
	})
	if !errors.Is(err, errTest) || s.Waiting() != 0 || s.use.total.n != 0 || len(s.use.entries) != 0 {
		t.Errorf("%v; counted %+v", err, s.use)
	}
	update(t, s, func(x *Tx) {
		i, w := item("a", "b", 1)
		if out := x.Put(i, w, ""); out.Again || out.Code != 0 {
			t.Errorf("%+v", out)
		}
	})
	if s.Waiting() != 1 {
		t.Errorf("%d messages wait", s.Waiting())
	}
}

// A message goes out of the file when no receipt is waited for, but not before its record is kept.
func TestExpireWaitsForTheRecord(t *testing.T) {
	t.Parallel()
	s := fresh(t)
	end := start.Add(keep + time.Second)
	update(t, s, func(x *Tx) {
		i, w := item("a", "b", 1)
		x.Put(i, w, "")
		if x.Expire(start) || x.Item(1) == nil {
			t.Error("a message ended before its time")
		}
		x.Expire(end)
		if len(x.Failed) != 1 || x.Item(1) == nil {
			t.Fatalf("%d messages failed", len(x.Failed))
		}
		for _, c := range x.Changed(0, 10) {
			x.Written(c.Item.Seq, c.Rev-1) // of an older state
			x.Written(c.Item.Seq, c.Rev)
		}
		if len(x.Changed(0, 10)) != 0 {
			t.Error("a record that is kept is to be written")
		}
		x.Expire(end.Add(2 * later))
		if x.Item(1) != nil {
			t.Error("the message is still there")
		}
		for _, name := range []string{messages, wires, entries, names, seen, due, dirty} {
			if k, _ := x.bucket(name).Cursor().First(); k != nil {
				t.Errorf("%s: %q is left", name, k)
			}
		}
	})
}

func FuzzUnpack(f *testing.F) {
	e := Entry{Taken: true, Size: 5, Sender: "a", Only: "b", Except: "c"}
	f.Add(e.pack())
	w := Wire{Head: []byte("A: b\r\n"), Body: []byte("x")}
	f.Add(w.pack())
	f.Fuzz(func(t *testing.T, b []byte) {
		var e, again Entry
		if e.unpack(b) == nil {
			if err := again.unpack(e.pack()); err != nil || again != e {
				t.Fatalf("%+v became %+v, %v", e, again, err)
			}
		}
		_ = new(Wire).unpack(b) // must not panic
	})
}

func BenchmarkPut(b *testing.B) {
	s, err := Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.ReportAllocs()
	n := 0
	for b.Loop() { // as many as come within the writer's pause, at 5,000 a second
		err := s.Update(func(x *Tx) {
			for range 10 {
				n++
				i, w := item(fmt.Sprint("a", n/1000), fmt.Sprint("b", n/1000), n)
				x.Put(i, w, "")
			}
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "messages/s")
}

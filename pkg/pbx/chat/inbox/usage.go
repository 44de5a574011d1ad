package inbox

import (
	"bytes"

	"go.etcd.io/bbolt"
)

// Quotas. Nobody fills the disk, or a colleague's inbox.
const (
	MaxBody        = 48 << 10 // bytes of one message; files go by HTTP
	maxInbox       = 5_000    // messages that wait for a user none of whose devices comes
	maxInboxBytes  = 32 << 20
	maxSender      = 2_000 // messages of one sender that wait, for whomever
	maxSenderBytes = 16 << 20
	maxEntries     = 10_000   // of an inbox, with those that wait for a device that is left in a drawer only
	maxFile        = 1 << 30  // bytes in use of chat.db
	reserve        = 32 << 20 // left on a disk that fills: accounts and settings of the same daemon go on
	nearlyFull     = maxFile * 8 / 10
)

// load counts messages.
type load struct {
	n     int
	bytes int64
}

func (l *load) add(n, size int) {
	l.n += n
	l.bytes += int64(n * size)
}

// usage counts messages that no device of their recipient has, by recipient and by sender, and the
// length of inboxes. It is of the one goroutine that updates.
type usage struct {
	inbox   map[string]*load
	sender  map[string]*load
	entries map[string]int
	total   load
}

func tally(m map[string]*load, key string, n, size int) {
	l := m[key]
	if l == nil {
		l = new(load)
		m[key] = l
	}
	if l.add(n, size); l.n == 0 {
		delete(m, key)
	}
}

func of(m map[string]*load, key string) load {
	if l := m[key]; l != nil {
		return *l
	}
	return load{}
}

// waits counts n messages as waiting; n is negative for those that do not any more.
func (u *usage) waits(user string, e *Entry, n int) {
	tally(u.inbox, user, n, e.Size)
	tally(u.sender, e.Sender, n, e.Size)
	u.total.add(n, e.Size)
}

func (u *usage) length(user string, n int) {
	if u.entries[user] += n; u.entries[user] == 0 {
		delete(u.entries, user)
	}
}

// count reads from the file what is counted.
func (s *Store) count() error {
	u := &usage{inbox: map[string]*load{}, sender: map[string]*load{}, entries: map[string]int{}}
	err := s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(entries)).ForEach(func(k, v []byte) error {
			user, _, _ := bytes.Cut(k, []byte{0})
			var e Entry
			if err := e.unpack(v); err != nil {
				return err
			}
			u.length(string(user), 1)
			if !e.Taken && !e.Copy {
				u.waits(string(user), &e, 1)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	s.use = u
	s.total.Store(int64(u.total.n))
	return nil
}

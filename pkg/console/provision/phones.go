package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/store"
)

const (
	// window is for how long a phone may take its settings: it is unpacked and plugged in the same day.
	window = 24 * time.Hour
	// longestWindow covers a week in which phones are installed. A hardware address is no secret, so
	// that a window without end would be an account for whoever asks first.
	longestWindow = 7 * 24 * time.Hour
	// maxPhones bounds the file: two for each user of a large box.
	maxPhones = 20_000

	phonesBucket = "phones" // MAC address -> ctl.DeskPhone
)

// Bind makes a phone that of a user, and opens the time in which it takes its settings, once. A phone
// that was bound before keeps the secret that it has until then, unless it was another user's.
func (p *Provision) Bind(ctx context.Context, mac string, spec ctl.DeskPhoneSpec) (ctl.DeskPhone, error) {
	hours := time.Duration(spec.Hours) * time.Hour
	if hours == 0 {
		hours = window
	}
	phone := ctl.DeskPhone{MAC: normalMAC(mac), User: spec.User, Maker: spec.Maker, Transport: spec.Transport, Open: time.Now().Add(hours).UTC().Truncate(time.Second)}
	if err := problem.Fields("phone", phoneFaults(mac, spec)); err != nil {
		return phone, err
	}
	if _, err := p.cfg.Switch.User(ctx, spec.User); err != nil {
		return phone, err
	}
	var old ctl.DeskPhone
	err := p.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(phonesBucket))
		found, err := store.Get(b, phone.MAC, &old)
		if err == nil && !found && b.Stats().KeyN >= maxPhones {
			err = problem.New(problem.Full, "phone.limit", fmt.Sprintf("%d phones are bound, the most that there can be", maxPhones), "remove those that are gone")
		}
		if err != nil {
			return err
		}
		if old.User == spec.User {
			phone.Taken, phone.From, phone.Agent, phone.Plain, phone.Login = old.Taken, old.From, old.Agent, old.Plain, old.Login
		}
		return store.Put(b, phone.MAC, phone)
	})
	if fsx.IsFull(err) {
		err = problem.Wrap(err, problem.Full, "phone.disk", "the disk is full: the phone cannot be kept", "free disk space")
	}
	if err == nil && old.User != spec.User {
		err = p.endSecret(ctx, old)
	}
	return phone, err
}

// Unbind forgets a phone and ends its secret.
func (p *Provision) Unbind(ctx context.Context, mac string) (old ctl.DeskPhone, err error) {
	if old, err = p.phone(normalMAC(mac)); err != nil {
		return old, err
	}
	if old.MAC == "" {
		return old, problem.New(problem.Missing, "phone.missing", "no phone has the address "+mac, "look at the list of phones")
	}
	if err := p.endSecret(ctx, old); err != nil { // first: a secret that nobody knows of could not be ended any more
		return old, err
	}
	return old, p.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte(phonesBucket)).Delete([]byte(old.MAC)) })
}

func (p *Provision) endSecret(ctx context.Context, phone ctl.DeskPhone) error {
	if phone.Login == "" {
		return nil
	}
	return p.cfg.Switch.RemoveDevice(ctx, phone.User, phone.Login)
}

// Phones lists the phones of a user, or all when user is "", and how many requests were refused.
func (p *Provision) Phones(user string) (l ctl.DeskPhoneList, err error) {
	l = ctl.DeskPhoneList{Phones: []ctl.DeskPhone{}, Refused: p.misses.all.Load()}
	err = p.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(phonesBucket)).ForEach(func(_, v []byte) error {
			var one ctl.DeskPhone
			if err := json.Unmarshal(v, &one); err != nil {
				return err
			}
			if user == "" || one.User == user {
				l.Phones = append(l.Phones, one)
			}
			return nil
		})
	})
	return l, err
}

// phone returns the one with an address; an empty one if there is none.
func (p *Provision) phone(mac string) (phone ctl.DeskPhone, err error) {
	err = p.db.View(func(tx *bbolt.Tx) error {
		_, err := store.Get(tx.Bucket([]byte(phonesBucket)), mac, &phone)
		return err
	})
	return phone, err
}

// errNotOpen says that a phone may not take its settings. The phone is not told why.
var errNotOpen = errors.New("not bound, not open, or taken")

// claim closes a phone's time; of two that come at once one fails.
func (p *Provision) claim(mac string) error {
	return p.changePhone(mac, func(phone *ctl.DeskPhone) error {
		if !isOpen(*phone) {
			return errNotOpen
		}
		phone.Open = time.Time{}
		return nil
	})
}

// changePhone changes a phone that is there.
func (p *Provision) changePhone(mac string, change func(*ctl.DeskPhone) error) error {
	return p.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(phonesBucket))
		var phone ctl.DeskPhone
		if found, err := store.Get(b, mac, &phone); err != nil || !found {
			return errors.Join(err, errNotOpen)
		}
		if err := change(&phone); err != nil {
			return err
		}
		return store.Put(b, mac, phone)
	})
}

func isOpen(phone ctl.DeskPhone) bool { return time.Now().Before(phone.Open) }

// dropPhones forgets those of a user who is gone; their secrets went with the account.
func dropPhones(tx *bbolt.Tx, user string) error {
	b := tx.Bucket([]byte(phonesBucket))
	var gone [][]byte
	err := b.ForEach(func(k, v []byte) error {
		var phone ctl.DeskPhone
		if err := json.Unmarshal(v, &phone); err != nil || phone.User == user {
			gone = append(gone, slices.Clone(k))
		}
		return nil
	})
	for _, k := range gone {
		err = errors.Join(err, b.Delete(k))
	}
	return err
}

// normalMAC writes an address as 00:11:22:33:44:55; what is none stays as it is.
func normalMAC(text string) string {
	bare := strings.ToLower(strings.NewReplacer(":", "", "-", "", ".", "").Replace(strings.TrimSpace(text)))
	if !isBareMAC(bare) {
		return text
	}
	pairs := slices.Collect(func(yield func(string) bool) {
		for i := 0; i < len(bare) && yield(bare[i:i+2]); i += 2 {
		}
	})
	return strings.Join(pairs, ":")
}

func isBareMAC(text string) bool {
	return len(text) == 12 && strings.Trim(text, "0123456789abcdef") == ""
}

func phoneFaults(mac string, spec ctl.DeskPhoneSpec) (faults []problem.Fault) {
	add := func(path, value, rule, cure string) {
		faults = append(faults, problem.Fault{Path: path, Value: value, Rule: rule, Cure: cure})
	}
	hw, err := net.ParseMAC(normalMAC(mac))
	switch {
	case err != nil || len(hw) != 6:
		add("mac", firstBytes(mac), "is a MAC address", `write it as "00:11:22:33:44:55"; it is printed on the phone`)
	case hw[0]&1 != 0 || slices.Equal(hw, make([]byte, 6)):
		add("mac", mac, "is the address of one device", "look at the label of the phone")
	}
	if _, known := makerOf(spec.Maker); spec.Maker != "" && !known {
		add("maker", firstBytes(spec.Maker), "is one that the box makes settings for", "choose "+strings.Join(makerNames(), ", ")+", or none")
	}
	if !slices.Contains([]string{"", "tls", "tcp", "udp"}, spec.Transport) {
		add("transport", firstBytes(spec.Transport), "is tls, tcp or udp", "choose one of them, or none for the safest")
	}
	if most := int(longestWindow / time.Hour); spec.Hours < 0 || spec.Hours > most {
		add("hours", fmt.Sprint(spec.Hours), fmt.Sprintf("is from 1 to %d", most), "open it again when the time has passed")
	}
	return faults
}

// firstBytes keeps what a stranger typed short in an answer.
func firstBytes(text string) string { return text[:min(len(text), 64)] }

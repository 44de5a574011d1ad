package account

import (
	"encoding/json"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/store"
)

func TestTheBoxsOwnAccountsAreInNoList(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	if _, err := d.MakeProbes(); problem.Of(err).Code != "domain.missing" {
		t.Errorf("before the domain: %v", err)
	}
	if err := d.SetDomain(domain); err != nil {
		t.Fatal(err)
	}
	add(t, d, "alice", "correct horse")
	changed := false
	d.Watch(func(string) { changed = true })
	first, err := d.MakeProbes()
	if err != nil || len(first) != 2 || first[0].Name == first[1].Name || first[0].Password == "" || !IsProbe(first[0].Name) {
		t.Fatalf("%+v, %v", first, err)
	}
	a := d.Lookup(first[0].Name)
	if a == nil || d.ByID(a.ID) != a || a.Sealed[0] == nil {
		t.Fatalf("it cannot sign in: %+v", a)
	}
	if found, _, _ := d.credential(first[0].Name); found != a {
		t.Errorf("the guard does not know it: %+v", found)
	}
	if page := d.List(ctl.UserQuery{}); page.Total != 1 || d.Len() != 1 || changed {
		t.Errorf("it is seen: %+v, %d, %v", page, d.Len(), changed)
	}
	second, err := d.MakeProbes()
	if err != nil || d.Lookup(first[0].Name) != nil || d.Lookup(second[0].Name) == nil {
		t.Errorf("those of before are still there: %v", err)
	}
	if gone := d.DropProbes(); len(gone) != 2 || d.Lookup(second[0].Name) != nil {
		t.Errorf("%v", gone)
	}
	if _, err := d.Add(ctl.NewUser{UserSpec: ctl.UserSpec{Name: "Sanchar-Check-mine"}}); err == nil || !strings.Contains(err.Error(), "for itself") {
		t.Errorf("a user may be hidden: %v", err)
	}
	if _, err := d.MakeProbes(); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if d = open(t, dir); d.Len() != 1 {
		t.Errorf("%d accounts after a restart", d.Len())
	}
}

func TestTheBoxsOwnAccountsEndByThemselves(t *testing.T) {
	d := newDirectory(t)
	made, err := d.MakeProbes()
	if err != nil {
		t.Fatal(err)
	}
	a := d.Lookup(made[0].Name)
	a.Created = a.Created.Add(-probeTime)
	if d.Lookup(a.Name) != nil || d.ByID(a.ID) != nil {
		t.Error("it is good for ever")
	}
	if d.Lookup(made[1].Name) == nil {
		t.Error("the other one ended too")
	}
}

func TestAccountsOfAnOldCheckAreForgotten(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	if err := d.SetDomain(domain); err != nil {
		t.Fatal(err)
	}
	add(t, d, "alice", "correct horse")
	err := d.db.Update(func(tx *bbolt.Tx) error {
		return store.Put(tx.Bucket([]byte(usersBucket)), "old", &Account{ID: "old", Name: probePrefix + "old"})
	})
	if err != nil || d.Close() != nil {
		t.Fatal(err)
	}
	d = open(t, dir)
	kept := 0
	err = d.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(usersBucket)).ForEach(func(_, v []byte) error {
			kept++
			return json.Unmarshal(v, new(Account))
		})
	})
	if err != nil || kept != 1 || d.Len() != 1 || d.ByID("old") != nil {
		t.Errorf("%d kept, %v", kept, err)
	}
}

package vault

import (
	"errors"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

func TestEachFileComesOnce(t *testing.T) {
	t.Parallel()
	v := open(t, config(t.TempDir()))
	kept := map[string]bool{}
	for range eachPage + 3 {
		kept[put(t, v, claim("u1"), []byte("x")).ID] = true
	}
	for id := range kept { // one of them is broken
		if err := v.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte(filesBucket)).Put([]byte(id), []byte("broken")) }); err != nil {
			t.Fatal(err)
		}
		delete(kept, id)
		break
	}
	err := v.Each(func(f ctl.StoredFile) error {
		if !kept[f.ID] {
			t.Errorf("file %s comes twice, or is none", f.ID)
		}
		delete(kept, f.ID)
		return nil
	})
	if err == nil || len(kept) > 0 {
		t.Errorf("%d files did not come, %v", len(kept), err)
	}
	enough, n := errors.New("enough"), 0
	if err := v.Each(func(ctl.StoredFile) error { n++; return enough }); !errors.Is(err, enough) || n != 1 {
		t.Errorf("%d files came, %v", n, err)
	}
}

package vault

import (
	"errors"

	"go.etcd.io/bbolt"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// eachPage is how many files are read at once: nobody waits for the transaction of more.
const eachPage = 256

// Each calls do with every file that is kept, until do returns an error. A file that comes meanwhile may be
// left out. One whose description cannot be read is, and is told in the error at the end.
func (v *Vault) Each(do func(ctl.StoredFile) error) (broken error) {
	for after := ""; ; {
		page, last, err := v.page(after)
		broken = errors.Join(broken, err)
		for _, f := range page {
			if err := do(f); err != nil {
				return errors.Join(broken, err)
			}
		}
		if last == "" {
			return broken
		}
		after = last
	}
}

// page returns the files behind an id, and the id of the last; "" when there are no more.
func (v *Vault) page(after string) (files []ctl.StoredFile, last string, err error) {
	viewErr := v.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket([]byte(filesBucket)).Cursor()
		k, _ := c.Seek([]byte(after))
		if string(k) == after {
			k, _ = c.Next()
		}
		n := 0
		for ; k != nil && n < eachPage; k, _ = c.Next() {
			n++
			last = string(k)
			f, readErr := v.describedIn(tx, last)
			if readErr != nil {
				err = errors.Join(err, readErr)
				continue
			}
			files = append(files, f)
		}
		return nil
	})
	return files, last, errors.Join(err, viewErr)
}

package vault

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

const (
	// roomEvery is after how many bytes of a file the disk is asked for room again.
	roomEvery = 1 << 20
	// syncEvery bounds what a file leaves to the kernel to write: a call's journal that is synced
	// meanwhile waits for it.
	syncEvery = 8 << 20
)

// Claim is who wants to keep a file, and what he may.
type Claim struct {
	OwnerID, Owner string
	MaxSize        int64
	Quota          int64 // of all files of the owner
	Valid          time.Duration
}

// Upload is a file on its way in. It ends with Finish or Discard. Only one goroutine may use it.
type Upload struct {
	v        *Vault
	claim    Claim
	id       string
	file     *os.File
	crypt    segments
	plain    []byte // of the segment that fills, with room for its tag
	n        int64  // number of that segment
	size     int64
	sum      hash.Hash
	unsynced int64
	room     int64 // bytes that may be written before the disk is asked again
	err      error // of an earlier write
	ended    bool
}

// Begin starts a file.
func (v *Vault) Begin(c Claim) (*Upload, error) {
	if err := v.enter(c.OwnerID); err != nil {
		return nil, err
	}
	u := &Upload{v: v, claim: c, id: ids.Random(idBytes), plain: make([]byte, 0, segmentBytes+tagBytes), sum: sha256.New()}
	if err := u.create(); err != nil {
		u.Discard()
		return nil, asFull(fmt.Errorf("begin a file: %w", err))
	}
	return u, nil
}

func (u *Upload) create() (err error) {
	if err = u.askRoom(); err != nil {
		return err
	}
	if u.file, err = os.OpenFile(u.v.newPath(u.id), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return err
	}
	head, crypt, err := newHead(u.v.key, u.id)
	if err != nil {
		return err
	}
	u.crypt = crypt
	_, err = u.file.Write(head)
	return err
}

// enter counts a file on its way.
func (v *Vault) enter(owner string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.uploads >= maxUploads || v.coming[owner] >= maxUploadsEach {
		return problem.New(problem.Unavailable, "file.busy", "too many files are being sent at this moment", "try again in a minute")
	}
	v.uploads++
	v.coming[owner]++
	return nil
}

func (v *Vault) leave(owner string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.uploads--
	if v.coming[owner]--; v.coming[owner] == 0 {
		delete(v.coming, owner)
	}
}

// Write adds to the file. Bytes beyond what the claim or the disk allows are an error of kind Full,
// after which only Discard helps.
func (u *Upload) Write(p []byte) (n int, err error) {
	if u.err != nil {
		return 0, u.err
	}
	if u.err = u.take(int64(len(p))); u.err != nil {
		return 0, u.err
	}
	_, _ = u.sum.Write(p) // a hash takes all
	for len(p) > 0 {
		if len(u.plain) == segmentBytes { // what follows shows that it is not the last
			if u.err = u.flush(false); u.err != nil {
				return n, u.err
			}
		}
		m := min(len(p), segmentBytes-len(u.plain))
		u.plain = append(u.plain, p[:m]...)
		p, n = p[m:], n+m
	}
	return n, nil
}

// take takes n bytes of the owner's quota.
func (u *Upload) take(n int64) error {
	if u.size+n > u.claim.MaxSize {
		return problem.New(problem.Full, CodeTooLarge, fmt.Sprintf("the file is larger than %d MB", u.claim.MaxSize>>20), "send a smaller file")
	}
	v := u.v
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.used[u.claim.OwnerID]+n > u.claim.Quota {
		return problem.New(problem.Full, "file.quota", fmt.Sprintf("your files together take more than %d MB", u.claim.Quota>>20),
			"wait until older files have ended, or ask your administrator for more room")
	}
	v.used[u.claim.OwnerID] += n
	u.size += n
	return nil
}

// CodeTooLarge is the code of the problem that a file is larger than its claim allows.
const CodeTooLarge = "file.large"

// flush writes the segment that is full, or the last.
func (u *Upload) flush(last bool) error {
	if u.room <= 0 {
		if err := u.askRoom(); err != nil {
			return err
		}
	}
	sealed := u.crypt.seal(u.plain, u.n, last)
	if _, err := u.file.Write(sealed); err != nil {
		return asFull(fmt.Errorf("write file %s: %w", u.id, err))
	}
	u.n++
	u.plain = u.plain[:0]
	u.room -= int64(len(sealed))
	if u.unsynced += int64(len(sealed)); u.unsynced >= syncEvery {
		u.unsynced = 0
		return unix.Fdatasync(int(u.file.Fd()))
	}
	return nil
}

func (u *Upload) askRoom() error {
	free, err := u.v.cfg.Free()
	if err != nil {
		return err
	}
	if free < Reserve+roomEvery {
		return errDisk(fmt.Errorf("%d bytes free, %d are kept", free, Reserve))
	}
	u.room = roomEvery
	return nil
}

// CodeDisk is the code of the problem that the disk has no room for files.
const CodeDisk = "file.disk"

func errDisk(cause error) error {
	return problem.Wrap(cause, problem.Full, CodeDisk, "the disk of the box has no room for files", "ask your administrator to make room")
}

func asFull(err error) error {
	if fsx.IsFull(err) {
		return errDisk(err)
	}
	return err
}

// Finish keeps the file. When it returns without error the file is on disk and can be read.
func (u *Upload) Finish(name, contentType string) (f ctl.StoredFile, err error) {
	defer func() {
		if err != nil {
			u.Discard()
		}
	}()
	if u.err != nil {
		return f, u.err
	}
	now := u.v.cfg.Clock().UTC().Truncate(time.Second)
	f = ctl.StoredFile{
		ID: u.id, OwnerID: u.claim.OwnerID, Owner: u.claim.Owner, Name: name, ContentType: contentType, Size: u.size,
		SHA256: u.sum.Sum(nil), Created: now, Until: now.Add(u.claim.Valid),
	}
	if err = u.flush(true); err != nil {
		return f, err
	}
	file := u.file
	u.file = nil
	if err = asFull(errors.Join(file.Sync(), file.Close())); err != nil {
		return f, err
	}
	if err = os.Rename(u.v.newPath(u.id), u.v.blobPath(u.id)); err != nil {
		return f, err
	}
	if err = fsx.SyncDir(u.v.blobDir()); err != nil {
		return f, err
	}
	if err = asFull(u.v.commit(f)); err != nil {
		return f, err
	}
	u.ended = true
	u.v.kept(u)
	return f, nil
}

// kept counts a file that is kept.
func (v *Vault) kept(u *Upload) {
	v.leave(u.claim.OwnerID)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.files++
	v.bytes += u.size
}

// Discard leaves nothing of a file that was not finished. After Finish it does nothing.
func (u *Upload) Discard() {
	if u.ended {
		return
	}
	u.ended = true
	u.v.leave(u.claim.OwnerID)
	u.v.mu.Lock()
	u.v.giveLocked(u.claim.OwnerID, u.size)
	u.v.mu.Unlock()
	if u.file != nil {
		_ = u.file.Close() // it is thrown away
	}
	for _, path := range []string{u.v.newPath(u.id), u.v.blobPath(u.id)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			u.v.cfg.Log.Warn("a file that was not finished stays until the next start", "err", err)
		}
	}
}

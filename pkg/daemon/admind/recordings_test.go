package admind

import (
	"bytes"
	"crypto/sha256"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/archive/vault"
	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// soundOf is a recording of so many bytes as mediad hands it over.
func soundOf(n int) (ctl.RecordingHead, []byte) {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(data)
	sum := sha256.Sum256(data)
	now := time.Now().UTC().Truncate(time.Millisecond)
	return ctl.RecordingHead{
		ID: ids.Record(now), ContentType: "audio/ogg", Size: int64(n), SHA256: sum[:], Start: now.Add(-time.Minute), End: now, Duration: time.Minute,
		Peaks: [2][]byte{{1, 200, 3}, {9, 0, 7}},
		About: map[string]string{
			ctl.AboutCall: "call-1", ctl.AboutCaller: "asha", ctl.AboutCallerNumber: "101", ctl.AboutCallee: "vikram", ctl.AboutWhy: "policy", "consent": "key 1",
		},
	}, data
}

func TestARecordingIsKeptHeardAndErased(t *testing.T) {
	t.Parallel()
	b, _ := owned(t)
	admin := ctl.NewAdmin(b.cfg.socket("admin"))
	t.Cleanup(func() { _ = admin.Close() })
	head, data := soundOf(3 << 20)

	cut := admin.StoreRecording(t.Context(), head, bytes.NewReader(append(data[:len(data)-1:len(data)-1], ^data[len(data)-1])))
	if problem.Of(cut).Code != "recording.cut" {
		t.Errorf("another byte: %v", cut)
	}
	for range 2 { // the second time it is there already
		if err := admin.StoreRecording(t.Context(), head, bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
	}
	other := head
	other.SHA256 = bytes.Repeat([]byte{1}, sha256.Size)
	if err := admin.StoreRecording(t.Context(), other, bytes.NewReader(data)); problem.Of(err).Code != "recording.refused" {
		t.Errorf("the same id with another content: %v", err)
	}
	b.stop() // what was promised is on disk
	b.run()
	c := b.browser()
	c.header = ownerHeader(t, b)

	var list struct{ Records []record.Recording }
	for _, query := range []string{"", "?user=asha", "?user=vikram", "?number=101", "?call=call-1", "?why=policy"} {
		c.api(200, "GET", "/records/recordings"+query, nil, &list)
		if len(list.Records) != 1 || list.Records[0].ID != head.ID || !bytes.Equal(list.Records[0].Left, head.Peaks[0]) || list.Records[0].About["consent"] != "key 1" {
			t.Fatalf("%q: %+v", query, list)
		}
	}
	c.api(200, "GET", "/records/recordings?user=nobody", nil, &list)
	if len(list.Records) != 0 {
		t.Errorf("%+v", list)
	}
	listen(t, c, head, data)

	if blobs, err := filepath.Glob(filepath.Join(b.cfg.DataDir, "recordings", "files", "*")); err != nil || len(blobs) != 1 {
		t.Errorf("%q, %v", blobs, err)
	} else if raw, err := os.ReadFile(blobs[0]); err != nil || bytes.Contains(raw, data[:64]) {
		t.Errorf("the sound lies on disk in clear, or %v", err)
	}
	var rec record.Recording
	c.api(200, "DELETE", "/recordings/"+head.ID, nil, &rec)
	if rec.File != "" || rec.ErasedBy != "files" || rec.Erased.IsZero() || rec.Left != nil {
		t.Errorf("%+v", rec)
	}
	if a := c.api(404, "DELETE", "/recordings/"+head.ID, nil, nil); a.Code != "recording.erased" {
		t.Errorf("%s", a.body)
	}
	if blobs, _ := filepath.Glob(filepath.Join(b.cfg.DataDir, "recordings", "files", "*")); len(blobs) != 0 {
		t.Errorf("left: %q", blobs)
	}
}

// listen hears a recording as the page does, and sees that it is written down.
func listen(t *testing.T, c *browser, head ctl.RecordingHead, data []byte) {
	t.Helper()
	c.api(403, "GET", "/recordings/"+head.ID+"/sound", nil, nil)
	c.api(403, "GET", "/recordings/"+head.ID+"/sound?ticket=guessed", nil, nil)
	c.api(422, "POST", "/recordings/"+head.ID+"/listen", m{"reason": " "}, nil)
	var way struct{ Address string }
	c.api(200, "POST", "/recordings/"+head.ID+"/listen", m{"reason": "a complaint"}, &way)
	if got := c.api(200, "GET", way.Address, nil, nil); !bytes.Equal(got.body, data) || got.header.Get("Content-Type") != "audio/ogg" {
		t.Errorf("%d bytes, %v", len(got.body), got.header)
	}
	if got := c.api(206, "GET", way.Address, nil, nil, "Range", "bytes=2000000-2000009"); !bytes.Equal(got.body, data[2000000:2000010]) {
		t.Errorf("a part: %d bytes", len(got.body))
	}
	if got := c.api(200, "GET", way.Address+"&save=true", nil, nil); got.header.Get("Content-Disposition") == "" {
		t.Errorf("to be saved: %v", got.header)
	}
	var log struct{ Records []record.Audit }
	c.api(200, "GET", "/records/audit?act=recording.listen", nil, &log)
	if len(log.Records) != 1 || !log.Records[0].OK || log.Records[0].Detail != "reason=a complaint" {
		t.Errorf("%+v", log.Records)
	}
}

// admind may be killed when it has the sound of a recording on disk and not yet its record, or when the record says
// that the sound is erased and it is not yet: what is left is joined or erased at the next start.
func TestWhatACrashPartsIsJoinedAgain(t *testing.T) {
	t.Parallel()
	b, _ := owned(t)
	admin := ctl.NewAdmin(b.cfg.socket("admin"))
	t.Cleanup(func() { _ = admin.Close() })
	known, data := soundOf(100 << 10)
	if err := admin.StoreRecording(t.Context(), known, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	b.stop()
	half, other := known, known
	half.ID, other.ID = ids.Record(time.Now()), ids.Record(time.Now().Add(time.Second))
	files := b.crashed(data, known.ID, half.ID)
	b.crashed(data[1:], other.ID)
	b.run()
	for _, head := range []ctl.RecordingHead{half, other} { // mediad has had no answer, and sends them again
		if err := admin.StoreRecording(t.Context(), head, bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
	}
	c := b.browser()
	c.header = ownerHeader(t, b)
	var list struct{ Records []record.Recording }
	blobs, err := filepath.Glob(filepath.Join(b.cfg.DataDir, "recordings", "files", "*"))
	c.api(200, "GET", "/records/recordings", nil, &list)
	if err != nil || len(list.Records) != 3 || len(blobs) != 3 {
		t.Fatalf("%d recordings in %d files, %v", len(list.Records), len(blobs), err)
	}
	for _, rec := range list.Records {
		if rec.ID == half.ID && rec.File != files[1] {
			t.Error("sound that was there was kept again")
		}
		var way struct{ Address string }
		c.api(200, "POST", "/recordings/"+rec.ID+"/listen", m{"reason": "a test"}, &way)
		if got := c.api(200, "GET", way.Address, nil, nil); !bytes.Equal(got.body, data) {
			t.Errorf("%s has %d bytes of sound", rec.ID, len(got.body))
		}
	}
}

// crashed leaves sound behind that has no record, of recordings with these ids.
func (b *box) crashed(data []byte, ids ...string) (files []string) {
	b.t.Helper()
	v, err := vault.Open(vault.Config{
		Dir: filepath.Join(b.cfg.DataDir, "recordings"), KeyFile: filepath.Join(b.cfg.DataDir, "recordings.key"), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, id := range ids {
		up, err := v.Begin(vault.Claim{OwnerID: "recordings", Owner: "recordings", MaxSize: 1 << 30, Quota: 1 << 40, Valid: time.Hour})
		if err != nil {
			b.t.Fatal(err)
		}
		if _, err := up.Write(data); err != nil {
			b.t.Fatal(err)
		}
		f, err := up.Finish(id, "audio/ogg")
		if err != nil {
			b.t.Fatal(err)
		}
		files = append(files, f.ID)
	}
	if err := v.Close(); err != nil {
		b.t.Fatal(err)
	}
	return files
}

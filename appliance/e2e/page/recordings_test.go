package page

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// wavOf is so many seconds of stereo: 440 Hz on the left from the beginning, 880 Hz on the right from the middle.
func wavOf(seconds int) []byte {
	const rate = 8000
	n := rate * seconds
	var b bytes.Buffer
	b.WriteString("RIFF")
	put := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) } // into memory
	put(uint32(36 + 4*n))
	b.WriteString("WAVEfmt ")
	put([]uint32{16, 2<<16 | 1, rate, 4 * rate, 16<<16 | 4})
	b.WriteString("data")
	put(uint32(4 * n))
	for i := range n {
		at := 2 * math.Pi * float64(i) / rate
		right := 0.0
		if i > n/2 {
			right = 6000 * math.Sin(880*at)
		}
		put([]int16{int16(9000 * math.Sin(440*at)), int16(right)})
	}
	return b.Bytes()
}

// recorded hands a recording of a call to the box, as mediad does.
func (b *box) recorded(call record.Call, seconds int) ctl.RecordingHead {
	b.t.Helper()
	return b.taken(call, seconds, "audio/wav", wavOf(seconds))
}

// taken hands a file of some type over.
func (b *box) taken(call record.Call, seconds int, contentType string, data []byte) ctl.RecordingHead {
	b.t.Helper()
	sum := sha256.Sum256(data)
	left, right := bytes.Repeat([]byte{120, 180, 90, 160}, 250), bytes.Repeat([]byte{0, 0, 110, 150}, 250)
	head := ctl.RecordingHead{
		ID: ids.Record(call.Answer), ContentType: contentType, Size: int64(len(data)), SHA256: sum[:], Start: call.Answer,
		End: call.Answer.Add(time.Duration(seconds) * time.Second), Duration: time.Duration(seconds) * time.Second, Peaks: [2][]byte{left, right},
		About: map[string]string{
			ctl.AboutCall: call.ID, ctl.AboutCaller: "asha.rao", ctl.AboutCallerNumber: "201", ctl.AboutCallee: "vikram", ctl.AboutCalleeNumber: "202", ctl.AboutWhy: "policy",
		},
	}
	if err := ctl.NewAdmin(filepath.Join(b.dir, "admin.sock")).StoreRecording(b.t.Context(), head, bytes.NewReader(data)); err != nil {
		b.t.Fatal(err)
	}
	return head
}

// TestRecordingIsHeard is an owner who listens to a recording, saves it and erases it.
func TestRecordingIsHeard(t *testing.T) {
	t.Parallel()
	for _, l := range looks() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			b := startBox(t)
			b.setUp()
			call := callRecord(time.Hour)
			b.store(record.KindCall, call.ID, call)
			b.recorded(call, 3)
			v := signedIn(t, b, l, "/logs/recordings")
			v.see("asha.rao", v.text("recording.kept"))
			v.open("/logs/calls?id=" + call.ID) // the call shows it as well
			v.see(v.text("recording.title"), "0:03")
			v.check("call-with-recording")
			v.press(v.text("sound.play"))
			v.see(v.text("sound.reason"))
			v.fill(v.text("reading.reason"), "complaint 7")
			v.press(v.text("reading.begin"))
			v.await("document.querySelector('audio').currentTime > 0.5", "sound that plays")
			v.await("document.querySelector('audio').ended", "its end")
			v.check("recording-heard")
			v.press(v.text("sound.save"))
			if saved := v.download("*.wav"); !strings.HasPrefix(saved, "RIFF") || len(saved) != len(wavOf(3)) {
				t.Errorf("saved %d bytes", len(saved))
			}
			b.erase(v)
		})
	}
}

// erase makes the owner erase the only recording, and sees who did what in the audit log.
func (b *box) erase(v *visitor) {
	b.t.Helper()
	v.open("/logs/recordings")
	v.see(v.text("recording.kept"))
	v.press(evaluate[string](v, "document.querySelector('tbody .open').textContent.replace(/\\s+/g, ' ').trim()"))
	v.see(v.text("recording.until"))
	v.check("recording")
	v.press(v.text("recording.erase"))
	v.see(v.text("recording.erase.text"))
	v.await("(document.querySelector('dialog:last-of-type [type=submit]').click(), true)", "the button")
	v.see(v.text("recording.erased.by", "name", owner))
	if left, err := os.ReadDir(filepath.Join(b.data, "recordings", "files")); err != nil || len(left) != 0 {
		b.t.Errorf("%d files are left, %v", len(left), err)
	}
	v.open("/logs/audit")
	v.see(v.text("did.listen"), v.text("did.recordingerase"))
}

// TestRecordingRules is an owner who makes a rule, first with a slip, and records a call from the page.
func TestRecordingRules(t *testing.T) {
	t.Parallel()
	for _, l := range looks() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			b := startBox(t)
			b.setUp()
			v := signedIn(t, b, l, "/account")
			v.expect("status of 422")
			v.see(v.text("rules.none"))
			v.press(v.text("rule.add"))
			v.fill(v.text("rule.people"), "as*ha 20*")
			v.choose(v.text("rule.record"), "demand")
			v.choose(v.text("rule.notice"), "ask")
			v.choose(v.text("rule.refused"), "end")
			v.await("(document.querySelector('dialog [type=submit]').click(), true)", "the button")
			v.await(finder+".field("+quote(v.text("rule.people"))+")?.ariaInvalid === 'true'", "the fault beside its field")
			v.check("rule-faults")
			v.fill(v.text("rule.name"), "Sales")
			v.fill(v.text("rule.people"), "asha 20*")
			v.await("(document.querySelector('dialog [type=submit]').click(), true)", "the button")
			v.see(v.text("rules.saved"), "Sales", "asha, 20*")
			v.check("rules")
			call := liveCall("c1")
			call.State, call.Recordable, call.Answered = ctl.CallUp, true, time.Now()
			b.sw.SetCall(call)
			v.open("/calls")
			for _, act := range []string{"start", "pause", "resume", "stop"} {
				v.press(v.text("tape."+act+".label", "name", v.text("calls.who", "a", "Asha Rao", "b", "Vikram Seth")))
			}
			v.see(v.text("tape.start"))
			v.check("call-recorder")
			if got := b.sw.Recorded("c1"); got != "stop "+owner {
				t.Errorf("asked last: %q", got)
			}
		})
	}
}

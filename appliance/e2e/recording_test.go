package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/testkit/baresip"
	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
	"github.com/coraltele/sanchar/pkg/testkit/linphone"
	"github.com/coraltele/sanchar/pkg/testkit/tone"
)

// recordAll makes the box record every call, without a word to its parties.
func (s *scene) recordAll(format string) {
	s.t.Helper()
	sw := s.box.Switch()
	st, err := sw.RecordingSettings(s.t.Context())
	if err == nil {
		st.Format, st.Video = format, true
		st.Rules = []ctl.RecordingRule{{Name: "all", Side: ctl.SideAny, Record: ctl.RecordAlways, Notice: ctl.NoticeNone, Refused: "go on"}}
		err = sw.SetRecordingPolicy(s.t.Context(), st.RecordingPolicy, st.Revision, "test")
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// recording waits for the recording of the only call and returns both its channels.
func (s *scene) recording() (rec record.Recording, left, right tone.Sound) {
	s.t.Helper()
	rec, file := s.recordingFile()
	dir := s.t.TempDir()
	whole := filepath.Join(dir, "recording")
	if err := os.WriteFile(whole, file, 0o600); err != nil {
		s.t.Fatal(err)
	}
	var sides [2]tone.Sound
	for i := range sides {
		name := filepath.Join(dir, fmt.Sprint(i, ".wav"))
		cmd := exec.Command("ffmpeg", "-v", "error", "-i", whole, "-af", fmt.Sprintf("pan=mono|c0=c%d", i), "-ar", "8000", "-f", "wav", "-bitexact", name)
		if out, err := cmd.CombinedOutput(); err != nil {
			s.t.Fatalf("%v: %s", err, out)
		}
		var err error
		if sides[i], err = tone.Read(name, 8000); err != nil {
			s.t.Fatal(err)
		}
	}
	return rec, sides[0], sides[1]
}

// recordingFile waits for the recording of the only call, and opens it as an owner does.
func (s *scene) recordingFile() (rec record.Recording, file []byte) {
	s.t.Helper()
	api := s.box.API(s.hosts["alice"])
	for until := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		if all := boxtest.Records[record.Recording](api, "recordings", nil); len(all) == 1 {
			rec = all[0]
			break
		}
		if time.Now().After(until) {
			s.t.Fatal("the recording does not come")
		}
	}
	var open struct {
		Address string `json:"address"`
	}
	api.Post("/recordings/"+rec.ID+"/listen", map[string]string{"reason": "a test"}, &open)
	return rec, api.Fetch(open.Address)
}

// The recording of a call holds what each party said on a channel of its own, whatever protects their media.
func TestRecordingsOfEveryKindOfCall(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("no ffmpeg")
	}
	for _, c := range []struct{ alice, bob, format string }{
		{"", "", "opus"}, {"srtp", "dtls", "opus"}, {"dtls", "", "wav"},
	} {
		t.Run(c.alice+"+"+c.bob+" "+c.format, func(t *testing.T) {
			t.Parallel()
			s := open(t, "alice", "bob")
			s.recordAll(c.format)
			s.policy(map[string]ctl.MediaRules{"alice": only(c.alice), "bob": only(c.bob)})
			alice, bob := s.party("linphone", "alice", c.alice), s.party("linphone", "bob", c.bob)
			s.conversation(alice, bob, "alice", "bob")
			s.recorded()
		})
	}
}

// So does that of phones that share no codec.
func TestRecordingOfATranscodedCall(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("no ffmpeg")
	}
	s := open(t, "alice", "bob")
	s.recordAll("opus")
	start := func(user, codecs string) party {
		h := s.hosts[user]
		return baresipParty{baresip.Start(t, h, baresip.Config{
			User: user, Password: boxtest.Password(user), Domain: boxtest.Domain, Server: boxtest.Server(h, "tcp"), Transport: "tcp", Tone: hertz(user), Codecs: codecs,
		})}
	}
	alice, bob := start("alice", "pcmu"), start("bob", "opus/48000/2")
	s.conversation(alice, bob, "alice", "bob")
	s.recorded()
}

// recorded checks the recording of a call of alice's to bob.
func (s *scene) recorded() {
	s.t.Helper()
	rec, left, right := s.recording()
	if rec.Caller.User != "alice" || rec.Callee.User != "bob" || rec.Call == "" || len(rec.Left) == 0 || rec.Broken {
		s.t.Errorf("record %+v", rec)
	}
	if a, b := hertz("alice"), hertz("bob"); !left.Clean(a, b) || !right.Clean(b, a) {
		s.t.Errorf("left %s\nright %s", left.Describe(a, b), right.Describe(a, b))
	}
}

// The recording of a call with pictures has those of both parties, and what they said.
func TestRecordingOfVideo(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("no ffmpeg")
	}
	s := open(t, "alice", "bob")
	s.recordAll("opus")
	video := func(encryption string) func(*linphone.Config) {
		return func(cfg *linphone.Config) { cfg.Video, cfg.Encryption = true, encryption }
	}
	s.policy(map[string]ctl.MediaRules{"alice": only("srtp"), "bob": only("")})
	alice, bob := s.phone("alice", "tcp", video("srtp")), s.phone("bob", "tcp", video(""))
	out, in := call(alice, bob)
	talk(t, alice, bob)
	alice.HangUp(out)
	bob.Over(in)
	s.recorded()
	s.seen("video/webm", "vp8", 1)
}

// So has that of a call between phones of H.264, in another kind of file.
func TestRecordingOfH264(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("no ffmpeg")
	}
	s := open(t, "alice", "bob")
	s.recordAll("opus")
	start := func(user string) party {
		h := s.hosts[user]
		return baresipParty{baresip.Start(t, h, baresip.Config{
			User: user, Password: boxtest.Password(user), Domain: boxtest.Domain, Server: boxtest.Server(h, "tcp"), Transport: "tcp", Tone: hertz(user), Video: true,
		})}
	}
	s.conversation(start("alice"), start("bob"), "alice", "bob")
	s.recorded()
	s.seen("video/mp4", "h264", 15) // a second of it
}

// seen checks that the recording of the only call has so many pictures of each party at least, and that another
// program plays all of it.
func (s *scene) seen(contentType, codec string, least int) {
	s.t.Helper()
	rec, file := s.recordingFile()
	name := filepath.Join(s.t.TempDir(), "recording")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		s.t.Fatal(err)
	}
	text, err := exec.Command("ffprobe", "-v", "error", "-count_frames", "-select_streams", "v", "-show_entries", "stream=codec_name,nb_read_frames",
		"-of", "csv=p=0", name).CombinedOutput()
	lines := strings.Fields(string(text))
	if rec.ContentType != contentType || err != nil || len(lines) != 2 {
		s.t.Fatalf("%s: %d tracks of pictures, %v: %s", rec.ContentType, len(lines), err, text)
	}
	for _, line := range lines {
		name, count, _ := strings.Cut(line, ",")
		if n, err := strconv.Atoi(count); name != codec || err != nil || n < least {
			s.t.Errorf("%s, not %d pictures of %s", line, least, codec)
		}
	}
	if out, err := exec.Command("ffmpeg", "-v", "error", "-xerror", "-i", name, "-map", "0", "-f", "null", "-").CombinedOutput(); err != nil {
		s.t.Errorf("%v: %s", err, out)
	}
}

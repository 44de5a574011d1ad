package mediad

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/rtp/dtmf"
	"github.com/coraltele/sanchar/pkg/rtp/g711"
	"github.com/coraltele/sanchar/pkg/rtp/header"
	"github.com/coraltele/sanchar/pkg/rtp/oggopus"
	"github.com/coraltele/sanchar/pkg/rtp/opus"
)

// talker is a phone that says a tone and hears.
type talker struct {
	*phone
	formats []ctl.MediaFormat
	rate    int
	hz      float64
	encode  func(pcm []int16) []byte
	decode  func(payload []byte) []int16
	n       int
	stamp   uint32
	ssrc    uint32

	mu    sync.Mutex
	heard []int16
	keys  string
	count int
}

var (
	pcmuFormats = []ctl.MediaFormat{{PayloadType: 0, Encoding: "PCMU", ClockRate: 8000}, {PayloadType: 101, Encoding: "telephone-event", ClockRate: 8000}}
	opusFormats = []ctl.MediaFormat{{PayloadType: 96, Encoding: "opus", ClockRate: 48000, Channels: 2}, {PayloadType: 97, Encoding: "telephone-event", ClockRate: 48000}}
)

func newPCMU(t *testing.T, host string, hz float64) *talker {
	out, pcm := make([]byte, 160), make([]int16, 2000)
	return &talker{
		phone: newPhone(t, host), formats: pcmuFormats, rate: 8000, hz: hz, ssrc: 0x1000,
		encode: func(in []int16) []byte { return out[:g711.EncodeMu(out, in)] },
		decode: func(p []byte) []int16 { return pcm[:g711.DecodeMu(pcm, p)] },
	}
}

func newOpus(t *testing.T, host string, hz float64) *talker {
	t.Helper()
	e, err := opus.NewEncoder(opus.Config{Rate: 16000})
	if err != nil {
		t.Fatal(err)
	}
	d, err := opus.NewDecoder(16000)
	if err != nil {
		t.Fatal(err)
	}
	out, pcm := make([]byte, opus.MaxPacket), make([]int16, 16000)
	return &talker{
		phone: newPhone(t, host), formats: opusFormats, rate: 16000, hz: hz, ssrc: 0x2000,
		encode: func(in []int16) []byte {
			n, err := e.Encode(out, in)
			if err != nil {
				t.Error(err)
			}
			return out[:n]
		},
		decode: func(p []byte) []int16 {
			n, err := d.Decode(pcm, p)
			if err != nil {
				t.Error(err)
			}
			return pcm[:n]
		},
	}
}

func (k *talker) leg(id string) ctl.MediaLeg {
	l := k.phone.leg(id)
	l.Streams[0].Formats = k.formats
	return l
}

func (k *talker) packet(pt uint8, stamp uint32, payload []byte) {
	k.seq++
	p := binary.BigEndian.AppendUint16([]byte{0x80, pt}, k.seq)
	p = binary.BigEndian.AppendUint32(p, stamp)
	p = append(binary.BigEndian.AppendUint32(p, k.ssrc), payload...)
	_, _ = k.conn.WriteToUDPAddrPort(p, k.to) // the other end looks at what came
}

// say sends 20 ms of the tone.
func (k *talker) say() {
	pcm := make([]int16, k.rate/50)
	for i := range pcm {
		pcm[i] = int16(8000 * math.Sin(2*math.Pi*k.hz*float64(k.n*len(pcm)+i)/float64(k.rate)))
	}
	k.n++
	k.packet(k.formats[0].PayloadType, k.stamp, k.encode(pcm))
	k.stamp += k.formats[0].ClockRate / 50
}

// press sends a key; it takes 120 ms of the call's time, told by tick.
func (k *talker) press(key dtmf.Event, tick func()) {
	s := dtmf.NewSender(k.formats[0].ClockRate, 20*time.Millisecond)
	s.Press(key, k.stamp, 100*time.Millisecond)
	for p, ok := s.Next(); ok; p, ok = s.Next() {
		tick()
		var b [dtmf.PayloadSize]byte
		p.Payload.Put(b[:])
		k.packet(k.formats[1].PayloadType, p.Timestamp, b[:])
		k.stamp += k.formats[0].ClockRate / 50
	}
}

// listen hears until the socket is closed.
func (k *talker) listen() {
	keys := dtmf.NewReceiver(k.formats[0].ClockRate, func(p dtmf.Press) {
		if p.Ended {
			k.keys += p.Event.String()
		}
	})
	buf := make([]byte, 2048)
	for {
		n, _, err := k.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		p := header.Packet(buf[:n])
		if !p.Valid(false) || header.Classify(p) != header.RTP {
			continue
		}
		k.mu.Lock()
		switch p.PayloadType() {
		case k.formats[0].PayloadType:
			k.heard = append(k.heard, k.decode(p.Payload())...)
			k.count++
		case 101, 97:
			keys.Packet(p.Timestamp(), p.Payload(), 0)
		}
		k.mu.Unlock()
	}
}

// snr is by how much the tone stands over all else in the last second that was heard, in dB: the median of
// tenths, since a jitter buffer may leave out or put in a frame.
func (k *talker) snr(hz float64) float64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.heard) < 2*k.rate {
		return -99
	}
	part := k.heard[len(k.heard)-k.rate*3/2 : len(k.heard)-k.rate/2]
	var all []float64
	for ; len(part) > 0; part = part[k.rate/10:] {
		all = append(all, snr(part[:k.rate/10], k.rate, hz))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func snr(pcm []int16, rate int, hz float64) float64 {
	var re, im, power float64
	for i, v := range pcm {
		a := 2 * math.Pi * hz * float64(i) / float64(rate)
		re, im, power = re+float64(v)*math.Cos(a), im+float64(v)*math.Sin(a), power+float64(v)*float64(v)
	}
	signal := 2 * (re*re + im*im) / float64(len(pcm))
	return 10 * math.Log10(max(signal, 1e-9)/max(power-signal, 1e-9))
}

// connect makes a session between two talkers.
func connect(t *testing.T, c ctl.Media, id string, a, b *talker) {
	t.Helper()
	offered, err := c.Offer(context.Background(), ctl.MediaOffer{
		Session: id, Leg: a.leg("a"), Peer: ctl.MediaLeg{ID: "b", Local: netip.MustParseAddr(ours)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Answer(context.Background(), ctl.MediaAnswer{Session: id, Leg: b.leg("b"), Peer: "a"}); err != nil {
		t.Fatal(err)
	}
	a.to, b.to = offered.Leg[0].RTP, offered.Peer[0].RTP
	go a.listen()
	go b.listen()
}

// ticker waits for the next 20 ms. On a machine that is busy it catches up, as a phone's clock does.
func ticker(*testing.T) func() {
	next := time.Now()
	return func() {
		next = next.Add(20 * time.Millisecond)
		<-time.After(time.Until(next))
	}
}

// Two phones that share no codec hear each other, and each other's keys.
func TestPCMUAndOpusHearEachOther(t *testing.T) {
	t.Parallel()
	c := start(t)
	var digits string
	var mu sync.Mutex
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		_ = c.Events(ctx, func(ev ctl.MediaEvent) error {
			mu.Lock()
			defer mu.Unlock()
			if ev.Kind == ctl.MediaDigit {
				digits += ev.Leg + ev.Digit
			}
			return nil
		})
	}()
	a, b := newPCMU(t, "127.0.50.11", 800), newOpus(t, "127.0.50.12", 600)
	connect(t, c, "one", a, b)
	tick := ticker(t)
	for range 150 {
		tick()
		a.say()
		b.say()
	}
	if ab, ba := b.snr(800), a.snr(600); ab < 24 || ba < 24 {
		t.Errorf("SNR %.1f dB and %.1f dB", ab, ba)
	} else {
		t.Logf("SNR %.1f dB from PCMU to opus, %.1f dB back", ab, ba)
	}
	for _, key := range []dtmf.Event{4, dtmf.Star} {
		a.press(key, tick)
		b.press(key+1, tick)
	}
	if err := c.Dial(ctx, ctl.MediaDial{Session: "one", Leg: "b", Digits: "7#"}); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		tick()
		a.say()
		b.say()
	}
	all, err := c.Sessions(ctx)
	if err != nil || all[0].Streams[0].Transcoded != "PCMU>opus" || all[0].Streams[1].Transcoded != "opus>PCMU" {
		t.Errorf("sessions %+v, %v", all, err)
	}
	mu.Lock()
	defer mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	if b.keys != "4*7#" || a.keys != "5#" || digits != "a4b5a*b#" {
		t.Errorf("b was told %q, a %q; events %q", b.keys, a.keys, digits)
	}
}

// A party is sent nothing of a format that it never heard of, even from one that speaks while the box is
// told who that is: some phones take all that follows for late.
func TestNobodyIsSentTheOthersFormat(t *testing.T) {
	t.Parallel()
	c := start(t)
	a, b := newPhone(t, "127.0.50.15"), newPhone(t, "127.0.50.16")
	for n := range 20 {
		id := fmt.Sprint("call ", n)
		la, lb := a.leg("a"), b.leg("b")
		la.Streams[0].Formats, lb.Streams[0].Formats = pcmuFormats[:1], opusFormats[:1]
		offered, err := c.Offer(t.Context(), ctl.MediaOffer{Session: id, Leg: la, Peer: ctl.MediaLeg{ID: "b", Local: netip.MustParseAddr(ours)}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			for seq := uint16(0); ctx.Err() == nil; seq++ {
				p := binary.BigEndian.AppendUint16([]byte{0x80, 96}, seq)
				p = append(p, make([]byte, 48)...)
				_, _ = b.conn.WriteToUDPAddrPort(p, offered.Peer[0].RTP) // the other end looks at what came
			}
		})
		err = c.Answer(t.Context(), ctl.MediaAnswer{Session: id, Leg: lb, Peer: "a"})
		buf := make([]byte, 2048)
		_ = a.conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) // it is a socket
		for {
			size, _, readErr := a.conn.ReadFromUDPAddrPort(buf)
			if readErr != nil {
				break
			}
			if p := header.Packet(buf[:size]); header.Classify(p) == header.RTP && p.PayloadType() != 0 {
				t.Fatalf("call %d: type %d was sent to a phone that takes type 0", n, p.PayloadType())
			}
		}
		stop()
		wg.Wait()
		if _, endErr := c.CloseSession(t.Context(), ctl.MediaClose{Session: id}); err != nil || endErr != nil {
			t.Fatal(err, endErr)
		}
	}
}

// A party that is sent nothing gets comfort, which ends when the other speaks; and what is played.
func TestASilentPartyHearsComfortAndSounds(t *testing.T) {
	t.Parallel()
	c := start(t)
	a, b := newPCMU(t, "127.0.50.13", 800), newPCMU(t, "127.0.50.14", 600)
	connect(t, c, "one", a, b)
	tick := ticker(t)
	count := func(k *talker) int {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.count
	}
	for begin := time.Now(); count(a) < 100; { // b says nothing
		tick()
		a.say()
		if time.Since(begin) > 15*time.Second {
			t.Fatalf("a heard %d packets of comfort", count(a))
		}
	}
	for range 100 {
		tick()
		a.say()
		b.say()
	}
	if got := a.snr(600); got < 24 {
		t.Errorf("SNR %.1f dB when b speaks", got)
	}
	if err := c.Play(t.Context(), ctl.MediaPlay{Session: "one", Leg: "a", ID: "busy", Sounds: []ctl.MediaSound{{Tone: "dial", Loop: true}}}); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		tick()
		a.say()
		b.say()
	}
	if got := a.snr(425); got < 24 {
		t.Errorf("the tone stands %.1f dB over all else", got)
	}
	if err := c.Play(t.Context(), ctl.MediaPlay{Session: "one", Leg: "a"}); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		tick()
		a.say()
		b.say()
	}
	if got := a.snr(600); got < 24 {
		t.Errorf("SNR %.1f dB after the tone", got)
	}
}

// archive is an admind that takes recordings.
type archive struct {
	mu    sync.Mutex
	heads map[string]ctl.RecordingHead
	files map[string][]byte
}

func serveArchive(t *testing.T, dir string) *archive {
	t.Helper()
	a := &archive{heads: map[string]ctl.RecordingHead{}, files: map[string][]byte{}}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /v1/recordings/{id}", func(w http.ResponseWriter, r *http.Request) {
		head, err := ctl.ReadRecordingHead(r)
		var body []byte
		if err == nil {
			body, err = io.ReadAll(r.Body)
		}
		if sum := sha256.Sum256(body); err == nil && !bytes.Equal(sum[:], head.SHA256) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			ctl.WriteProblem(w, err)
			return
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.heads[head.ID], a.files[head.ID] = head, body
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	s, err := ctl.Listen(filepath.Join(dir, "admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	go func() { ended <- s.Serve(ctx, mux, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return a
}

// wait returns a recording when it has come.
func (a *archive) wait(t *testing.T, id string) (ctl.RecordingHead, []byte) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		a.mu.Lock()
		head, ok := a.heads[id]
		file := a.files[id]
		a.mu.Unlock()
		if ok {
			return head, file
		}
		if time.Since(begin) > 30*time.Second {
			t.Fatal("the recording does not come")
		}
	}
}

// channels decodes a recording.
func channels(t *testing.T, file []byte) (out [2][]int16) {
	t.Helper()
	r, err := oggopus.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	var d [2]*opus.Decoder
	for i := range d {
		if d[i], err = opus.NewDecoder(16000); err != nil {
			t.Fatal(err)
		}
	}
	pcm := make([]int16, 16000)
	for {
		p, err := r.Next()
		if err == io.EOF {
			return out
		}
		left, right, ok := oggopus.Cut(p)
		if err != nil || !ok {
			t.Fatal(err, len(p))
		}
		for i, one := range [][]byte{left, right} {
			n := 320
			if len(one) > 1 {
				n, err = d[i].Decode(pcm, one)
			} else {
				err = d[i].Conceal(pcm[:n])
			}
			if err != nil {
				t.Fatal(err)
			}
			out[i] = append(out[i], pcm[:n]...)
		}
	}
}

// seconds returns how many tenths of a second of a channel have a tone.
func tenths(pcm []int16, hz float64) (n int) {
	for ; len(pcm) >= 1600; pcm = pcm[1600:] {
		if snr(pcm[:1600], 16000, hz) > 6 {
			n++
		}
	}
	return n
}

// A recording holds both parties, each on its channel, though mediad is killed in its midst: less than
// two seconds are missing. It comes to the archive by itself.
func TestARecordingSurvivesKill9(t *testing.T) {
	dir := t.TempDir()
	shelf := serveArchive(t, dir)
	c, ready := supervisedIn(t, dir)
	pid := <-ready
	a, b := newPCMU(t, "127.0.50.15", 800), newOpus(t, "127.0.50.16", 600)
	connect(t, c, "one", a, b)
	id := ids.Record(time.Now())
	if err := c.Record(t.Context(), ctl.MediaRecord{
		Session: "one", ID: id, Do: ctl.RecordStart, About: map[string]string{ctl.AboutCall: "7"},
		Legs: []ctl.MediaRecordLeg{{Leg: "a", Channel: 0}, {Leg: "b", Channel: 1}},
	}); err != nil {
		t.Fatal(err)
	}
	if err := c.Play(t.Context(), ctl.MediaPlay{Session: "one", Leg: "b", Sounds: []ctl.MediaSound{{Tone: "dial", Loop: true}}}); err != nil {
		t.Fatal(err)
	}
	tick := ticker(t)
	const packets = 500
	for n := range packets {
		tick()
		a.say()
		b.say()
		if n == packets/2 {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	<-ready
	if got := b.snr(425); got < 24 {
		t.Errorf("what was played stands at %.1f dB after the restart", got)
	}
	if _, err := c.CloseSession(t.Context(), ctl.MediaClose{Session: "one"}); err != nil {
		t.Fatal(err)
	}
	head, file := shelf.wait(t, id)
	if head.ContentType != "audio/ogg" || head.About[ctl.AboutCall] != "7" || head.Duration.Round(2*time.Second) != packets*20*time.Millisecond ||
		!strings.Contains(fmt.Sprint(head.Start), "20") || len(head.Peaks[0]) < 400 {
		t.Errorf("head %+v", head)
	}
	sound := channels(t, file)
	for i, hz := range [2][2]float64{{800, 600}, {600, 800}} {
		own, other := tenths(sound[i], hz[0]), tenths(sound[i], hz[1])
		t.Logf("channel %d: %d tenths of a second of its party, %d of the other", i, own, other)
		if own < packets/5-20 || other != 0 {
			t.Errorf("channel %d holds %d tenths of a second of %d of its party, %d of the other", i, own, packets/5, other)
		}
	}
}

// A key that a party tells by events becomes a tone for one that takes none, though both share a codec.
func TestAKeyBecomesATone(t *testing.T) {
	t.Parallel()
	c := start(t)
	a, b := newPCMU(t, "127.0.50.17", 800), newPCMU(t, "127.0.50.18", 600)
	b.formats = pcmuFormats[:1]
	connect(t, c, "one", a, b)
	tick := ticker(t)
	talk := func(n int) {
		for range n {
			tick()
			a.packet(0, a.stamp, bytes.Repeat([]byte{0xff}, 160)) // silence: the tone stands alone
			a.stamp += 160
			b.say()
		}
	}
	talk(25)
	for _, key := range []dtmf.Event{1, 9} {
		a.press(key, tick)
		talk(40)
	}
	var heard string
	d := dtmf.NewDetector(8000, func(p dtmf.Press) {
		if !p.Ended {
			heard += p.Event.String()
		}
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	if d.Samples(b.heard); heard != "19" {
		t.Errorf("b heard %q", heard)
	}
}

// Both parties hear now and then that they are recorded, and each other all the while.
func TestRecordingsBeep(t *testing.T) {
	t.Parallel()
	c := start(t)
	a, b := newPCMU(t, "127.0.50.19", 800), newPCMU(t, "127.0.50.20", 600)
	connect(t, c, "one", a, b)
	if err := c.Record(t.Context(), ctl.MediaRecord{
		Session: "one", ID: ids.Record(time.Now()), Do: ctl.RecordStart, Beep: 2, Legs: []ctl.MediaRecordLeg{{Leg: "a"}, {Leg: "b", Channel: 1}},
	}); err != nil {
		t.Fatal(err)
	}
	tick := ticker(t)
	for range 350 { // 7 s
		tick()
		a.say()
		b.say()
	}
	for _, k := range []*talker{a, b} {
		k.mu.Lock()
		beeps, other := 0, 0
		for at := 0; at+800 <= len(k.heard); at += 800 { // tenths of a second
			if amplitude(k.heard[at:at+800], 1400) > 1000 {
				beeps++
			}
			if amplitude(k.heard[at:at+800], 1400-k.hz) > 4000 { // 600 for 800, and the other way
				other++
			}
		}
		if beeps < 4 || beeps > 12 || other < 55 {
			t.Errorf("in 7 s, the beep was heard in %d tenths of a second, the other party in %d", beeps, other)
		}
		k.mu.Unlock()
	}
}

// amplitude measures a tone at 8,000 samples a second.
func amplitude(pcm []int16, hz float64) float64 {
	var re, im float64
	for i, v := range pcm {
		a := 2 * math.Pi * hz * float64(i) / 8000
		re, im = re+float64(v)*math.Cos(a), im+float64(v)*math.Sin(a)
	}
	return 2 * math.Hypot(re, im) / float64(len(pcm))
}

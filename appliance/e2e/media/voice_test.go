package media

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/media/secure"
	"github.com/coraltele/sanchar/pkg/rtp/dtmf"
	"github.com/coraltele/sanchar/pkg/rtp/g711"
	"github.com/coraltele/sanchar/pkg/rtp/opus"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
	"github.com/coraltele/sanchar/pkg/testkit/phone"
	"github.com/coraltele/sanchar/pkg/testkit/tone"
)

const (
	rate      = 8000 // of what voices say and hear
	frame     = 160  // samples of a packet
	loudness  = 12000
	keyLength = 100 * time.Millisecond
	headSize  = 12
)

// codec is what a phone speaks.
type codec struct {
	pt, keys uint8  // payload types of sound and of telephone events
	clock    uint32 // of both
	media    string // lines of its SDP after the address
	encode   func(dst []byte, pcm []int16) (int, error)
	decode   func(dst []int16, packet []byte) (int, error)
}

func pcmu() codec {
	return codec{
		pt: 0, keys: 101, clock: 8000,
		media:  "RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\n",
		encode: func(dst []byte, pcm []int16) (int, error) { return g711.EncodeMu(dst, pcm), nil },
		decode: func(dst []int16, p []byte) (int, error) { return g711.DecodeMu(dst, p), nil },
	}
}

func opusOnly(t *testing.T) codec {
	t.Helper()
	enc, err := opus.NewEncoder(opus.Config{Rate: rate})
	if err != nil {
		t.Fatal(err)
	}
	dec, err := opus.NewDecoder(rate)
	if err != nil {
		t.Fatal(err)
	}
	return codec{
		pt: 96, keys: 97, clock: opus.ClockRate,
		media:  "RTP/AVP 96 97\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:97 telephone-event/48000\r\na=fmtp:97 0-15\r\na=ptime:20\r\n",
		encode: enc.Encode, decode: dec.Decode,
	}
}

// say writes a phone's SDP.
func (c codec) say(at netip.AddrPort) string {
	return fmt.Sprintf("v=0\r\no=- 1 %d IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio %d %s", time.Now().UnixNano(), at.Addr(), at.Addr(), at.Port(), c.media)
}

// voice speaks a tone into a call and listens.
type voice struct {
	codec
	t    *testing.T
	call *phone.Call
	ssrc uint32

	mu    sync.Mutex // guards what follows
	hz    float64    // 0: it is silent and sends nothing
	guard *secure.Keys
	sound tone.Sound
	typed string
	press []dtmf.Event
}

// speak starts a voice, which ends with the test.
func speak(t *testing.T, call *phone.Call, c codec, hz float64) *voice {
	t.Helper()
	v := &voice{codec: c, t: t, call: call, ssrc: uint32(hz), hz: hz, sound: tone.Sound{Rate: rate}}
	quit := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() { v.send(quit) })
	all.Go(v.listen)
	t.Cleanup(func() {
		close(quit)
		media, _ := call.Media()
		_ = media.Close() // which ends the listener
		all.Wait()
	})
	return v
}

// send sends a packet each packet time.
func (v *voice) send(quit <-chan struct{}) {
	keys := dtmf.NewSender(v.clock, phone.PTime)
	begin := time.Now()
	pcm, step := make([]int16, frame), uint32(int(v.clock)*frame/rate)
	for n := uint32(0); ; n++ {
		select {
		case <-quit:
			return
		case <-time.After(time.Until(begin.Add(time.Duration(n) * phone.PTime))):
		}
		v.mu.Lock()
		hz, at := v.hz, n*step
		if len(v.press) > 0 && keys.Press(v.press[0], at, keyLength) {
			v.press = v.press[1:]
		}
		v.mu.Unlock()
		if hz == 0 {
			continue
		}
		if p, ok := keys.Next(); ok {
			payload := make([]byte, dtmf.PayloadSize)
			p.Payload.Put(payload)
			v.out(v.keys, n, p.Timestamp, payload)
			continue
		}
		for i := range pcm {
			pcm[i] = int16(loudness * math.Sin(2*math.Pi*hz*float64(int(n)*frame+i)/rate))
		}
		payload := make([]byte, opus.MaxPacket)
		size, err := v.encode(payload, pcm)
		if err != nil {
			v.t.Error(err)
			return
		}
		v.out(v.pt, n, at, payload[:size])
	}
}

func (v *voice) out(pt uint8, n, at uint32, payload []byte) {
	p := make([]byte, headSize, headSize+len(payload)+secure.Overhead)
	p[0], p[1] = 0x80, pt
	binary.BigEndian.PutUint16(p[2:], uint16(n))
	binary.BigEndian.PutUint32(p[4:], at)
	binary.BigEndian.PutUint32(p[8:], v.ssrc)
	p = append(p, payload...)
	v.mu.Lock()
	if v.guard != nil {
		p, _ = v.guard.RTP(p) // a key that is fresh protects
	}
	v.mu.Unlock()
	media, remote := v.call.Media()
	_, _ = media.WriteToUDPAddrPort(p, remote) // a wire that is cut loses it
}

// listen takes packets until the socket is closed.
func (v *voice) listen() {
	media, _ := v.call.Media()
	keys := dtmf.NewReceiver(v.clock, func(p dtmf.Press) {
		if !p.Ended {
			v.typed += p.Event.String()
		}
	})
	begin := time.Now()
	for buf := make([]byte, 65536); ; {
		size, err := media.Read(buf)
		if err != nil {
			return
		}
		v.mu.Lock()
		v.take(buf[:size], keys, time.Since(begin))
		v.mu.Unlock()
	}
}

func (v *voice) take(p []byte, keys *dtmf.Receiver, now time.Duration) {
	if v.guard != nil {
		clear, verdict := v.guard.OpenRTP(p, time.Now().UnixNano())
		if verdict != secure.Authentic {
			return
		}
		p = clear
	}
	if len(p) < headSize || p[0] != 0x80 {
		return // RTCP, or a check
	}
	switch p[1] & 0x7f {
	case v.keys:
		keys.Packet(binary.BigEndian.Uint32(p[4:]), p[headSize:], now)
	case v.pt:
		pcm := make([]int16, int(opus.MaxDuration*rate/time.Second))
		n, err := v.decode(pcm, p[headSize:])
		if err != nil {
			v.t.Errorf("a packet that cannot be decoded: %v", err)
		}
		v.sound.Samples = append(v.sound.Samples, pcm[:n]...)
	}
}

// do changes the voice.
func (v *voice) do(change func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change()
}

// await waits until the voice is as wanted.
func (v *voice) await(what string, patience time.Duration, want func() bool) {
	v.t.Helper()
	for until := time.Now().Add(patience); ; time.Sleep(phone.PTime) {
		v.mu.Lock()
		ok := want()
		v.mu.Unlock()
		if ok {
			return
		}
		if time.Now().After(until) {
			v.t.Fatalf("%.0f Hz waits for %s, was typed %q", v.hz, what, v.typed)
		}
	}
}

// hears waits until a tone is heard clean in what comes from now on.
func (v *voice) hears(hz float64) {
	v.t.Helper()
	v.hearsWithin(hz, netlab.Patience)
}

func (v *voice) hearsWithin(hz float64, patience time.Duration) {
	v.t.Helper()
	v.mu.Lock()
	from := len(v.sound.Samples)
	v.mu.Unlock()
	v.await(fmt.Sprintf("%.0f Hz", hz), patience, func() bool {
		return tone.Sound{Rate: rate, Samples: v.sound.Samples[from:]}.Clean(hz, v.hz)
	})
}

// dial presses keys one after another.
func (v *voice) dial(keys string) {
	v.t.Helper()
	for i := range len(keys) {
		e, ok := dtmf.ParseEvent(keys[i])
		if !ok {
			v.t.Fatalf("%q is no key", keys[i])
		}
		v.do(func() { v.press = append(v.press, e) })
	}
}

// speakLocked is speak with packets that are protected.
func speakLocked(t *testing.T, call *phone.Call, guard *secure.Keys, hz float64) *voice {
	t.Helper()
	v := speak(t, call, pcmu(), 0)
	v.do(func() { v.guard, v.hz, v.ssrc = guard, hz, uint32(hz) })
	return v
}

package develop

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"

	"github.com/coraltele/sanchar/pkg/media/reel"
	"github.com/coraltele/sanchar/pkg/rtp/header"
)

const (
	rateOfFilm = 15 // pictures a second
	seconds    = 4
	whole      = rateOfFilm * seconds // pictures
	videoType  = 97
)

// stream is the packets of a test film, as a sender sends them.
type stream []header.Packet

// ffmpeg returns the program that makes test films.
func ffmpeg(t *testing.T) string {
	t.Helper()
	name, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("no ffmpeg")
	}
	return name
}

// source are ffmpeg's arguments for a test film of a size.
func source(size string) []string {
	return []string{"-v", "error", "-f", "lavfi", "-i", fmt.Sprintf("testsrc=size=%s:rate=%d", size, rateOfFilm), "-t", fmt.Sprint(seconds), "-g", "15"}
}

// payloaded returns a film that another program has encoded, in packets that a library makes.
func payloaded(t *testing.T, encoder string, p rtp.Payloader, more ...string) (s stream) {
	t.Helper()
	args := append(append(source("320x240"), "-c:v", encoder), more...)
	ivf, err := exec.Command(ffmpeg(t), append(args, "-f", "ivf", "-")...).Output()
	if err != nil || len(ivf) < 32 {
		t.Fatalf("ffmpeg does not encode %s: %v", encoder, err)
	}
	var seq uint16
	for i, b := 0, ivf[32:]; len(b) > 12; i++ {
		n := int(binary.LittleEndian.Uint32(b))
		payloads := p.Payload(1000, b[12:12+n])
		b = b[12+n:]
		for j, payload := range payloads {
			seq++
			h := rtp.Header{Version: 2, Marker: j == len(payloads)-1, PayloadType: videoType, SequenceNumber: seq, Timestamp: uint32(i * 90000 / rateOfFilm), SSRC: 5}
			raw, err := (&rtp.Packet{Header: h, Payload: payload}).Marshal()
			if err != nil {
				t.Fatal(err)
			}
			s = append(s, raw)
		}
	}
	return s
}

// sent returns a film of H.264 as another program sends it by RTP, with what it says of it in SDP.
func sent(t *testing.T, size string, more ...string) (s stream, params string) {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err == nil {
		err = conn.SetReadBuffer(4 << 20)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	args := append(append(source(size), "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p"), more...)
	sdp := t.TempDir() + "/film.sdp"
	args = append(args, "-sdp_file", sdp, "-f", "rtp", "-payload_type", fmt.Sprint(videoType), "-ssrc", "5", "-seq", "65500")
	out, err := exec.Command(ffmpeg(t), append(args, fmt.Sprintf("rtp://%s?pkt_size=1200", conn.LocalAddr()))...).CombinedOutput()
	if err != nil {
		t.Fatalf("ffmpeg does not send H.264: %v: %s", err, out)
	}
	if err := conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil { // all of it is in the buffer
		t.Fatal(err)
	}
	buf := make([]byte, 1500)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			break
		}
		if p := header.Packet(append([]byte(nil), buf[:n]...)); p.Valid(false) && p.PayloadType() == videoType {
			s = append(s, p)
		}
	}
	text, err := os.ReadFile(sdp)
	_, params, _ = strings.Cut(string(text), fmt.Sprintf("a=fmtp:%d ", videoType))
	params, _, _ = strings.Cut(params, "\r\n")
	if err != nil || len(s) == 0 || params == "" {
		t.Fatalf("%d packets, %v: %s", len(s), err, text)
	}
	s.restamp(s[0].Timestamp(), 0)
	return s, params
}

// restamp moves timestamps.
func (s stream) restamp(from, to uint32) {
	for _, p := range s {
		binary.BigEndian.PutUint32(p[4:], p.Timestamp()-from+to)
	}
}

// renumber gives the packets numbers in a row.
func (s stream) renumber(from uint16) {
	for i, p := range s {
		binary.BigEndian.PutUint16(p[2:], from+uint16(i))
	}
}

// when a packet was sent.
func when(p header.Packet) time.Duration { return time.Duration(p.Timestamp()) * time.Second / 90000 }

// shown is a track of a film.
type shown struct {
	formats []reel.Format
	packets stream
}

// movie makes a recording with what two talkers say for so long and the pictures that come meanwhile, and
// returns the file.
func (s *scene) movie(length time.Duration, all ...shown) (file []byte, contentType string) {
	s.t.Helper()
	s.begin(0, pcmu, full)
	a, b := newTalker(s.t, pcmu, 600), newTalker(s.t, full, 900)
	for i, v := range all {
		s.json(reel.Entry{Kind: reel.KindTrack, Track: uint8(2 + i), Time: int64(boot)}, reel.Track{Leg: fmt.Sprint("leg", i), Kind: "video", Formats: v.formats})
	}
	for at := time.Duration(0); at < length; at += slotTime {
		s.say(at, slotTime, a, b)
		for i := range all {
			v := &all[i]
			for len(v.packets) > 0 && when(v.packets[0]) < at+slotTime {
				p := v.packets[0]
				v.packets = v.packets[1:]
				s.block = reel.Append(s.block, reel.Entry{Kind: reel.KindPacket, Track: uint8(2 + i), Time: int64(boot + when(p)), Data: p})
			}
		}
	}
	s.cut()
	file, head := s.develop()
	return file, head.contentType
}

// video is a track of one codec.
func video(encoding, params string, packets stream) shown {
	return shown{[]reel.Format{{PayloadType: videoType, Encoding: encoding, ClockRate: 90000, Params: params}}, packets}
}

// libvpx is a sender of VP8 or VP9.
func libvpx(encoder string) func(*testing.T) (stream, string) {
	return func(t *testing.T) (stream, string) {
		var p rtp.Payloader = &codecs.VP9Payloader{}
		if encoder == "libvpx" {
			p = &codecs.VP8Payloader{EnablePictureID: true}
		}
		return payloaded(t, encoder, p, "-deadline", "realtime"), ""
	}
}

// x264 is a sender of H.264.
func x264(size string, more ...string) func(*testing.T) (stream, string) {
	return func(t *testing.T) (stream, string) { return sent(t, size, more...) }
}

// libaom is a sender of AV1.
func libaom(t *testing.T) (stream, string) {
	return payloaded(t, "libaom-av1", &codecs.AV1Payloader{}, "-usage", "realtime", "-cpu-used", "8", "-lag-in-frames", "0", "-pix_fmt", "yuv420p"), ""
}

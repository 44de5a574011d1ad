package im

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/sip/imdn"
	"github.com/coraltele/sanchar/pkg/sip/mime"
)

const (
	receipt  = `<imdn xmlns="urn:ietf:params:xml:ns:imdn"><message-id>adMO6FKfqE</message-id><datetime>2026-11-23T10:45:50Z</datetime><delivery-notification><status><delivered/></status></delivery-notification></imdn>`
	writing  = `<isComposing xmlns="urn:ietf:params:xml:ns:im-iscomposing"><state>active</state><refresh>60</refresh></isComposing>`
	file     = `<file xmlns="urn:gsma:params:xml:ns:rcs:rcs:fthttp"><file-info type="file"><file-size>16</file-size><file-name>note.txt</file-name><content-type>text/plain</content-type><data url="http://box/f" until="2026-11-30T10:58:07Z"/></file-info></file>`
	cpimHead = "From: <sip:bob@pbx.test;gr=urn:uuid:1>\r\nTo: <sip:alice@pbx.test>\r\nDateTime: 2026-11-23T11:47:12Z\r\nNS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: Bx\r\nimdn.Disposition-Notification: positive-delivery, display\r\nNS: linphone <tag:linphone.org,2020:params:groupchat>\r\n"
)

func read(t *testing.T, raw Raw) *Message {
	t.Helper()
	m, err := Read(raw)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestReadPlain(t *testing.T) {
	t.Parallel()
	m := read(t, Raw{ContentType: "text/plain", Body: "नमस्ते 👋"})
	if m.Text != "नमस्ते 👋" || m.Wrapped || m.Notification() || m.Writing {
		t.Errorf("read as %+v", m)
	}
	if m := read(t, Raw{ContentType: "text/plain", Body: "a\xffb"}); m.Text != "a\uFFFDb" || string(m.Body) != "a\xffb" {
		t.Errorf("damaged UTF-8 read as %+v", m)
	}
	if m := read(t, Raw{ContentType: "application/im-iscomposing+xml", Body: writing}); !m.Writing {
		t.Errorf("composing read as %+v", m)
	}
	if m := read(t, Raw{ContentType: "application/vnd.gsma.rcs-ft-http+xml", Body: file}); len(m.Files) != 1 || m.Files[0].Name != "note.txt" {
		t.Errorf("file read as %+v", m)
	}
	if m := read(t, Raw{ContentType: "message/imdn+xml", ContentEncoding: "Deflate", Body: string(deflate([]byte(receipt)))}); len(m.Receipts) != 1 || m.Receipts[0].Status != imdn.Delivered || string(m.Body) != receipt {
		t.Errorf("deflated receipt read as %+v", m)
	}
}

func TestReadWrapped(t *testing.T) {
	t.Parallel()
	const boundary = "\r\nContent-Type: multipart/mixed;boundary=x\r\n\r\n--x\r\nContent-Type: application/vnd.gsma.rcs-ft-http+xml\r\n\r\n" + file + "\r\n--x\r\n\r\ncaption\r\n--x--"
	m := read(t, Raw{ContentType: "message/cpim", Body: cpimHead + "linphone.Replying-To-Message-ID: q\r\nlinphone.Ephemeral-Time: 60\r\n" + boundary})
	if m.From != "sip:bob@pbx.test;gr=urn:uuid:1" || m.ID != "Bx" || m.Text != "caption" || len(m.Files) != 1 || m.Reply != "q" || m.Ephemeral != 60 ||
		!m.Wants(imdn.PositiveDelivery) || m.Wants(imdn.NegativeDelivery) || m.Reaction || m.Composed.IsZero() {
		t.Errorf("read as %+v", m)
	}
	m = read(t, Raw{ContentType: "message/cpim", Body: cpimHead + "linphone.In-Reply-To: q\r\n\r\nContent-Disposition: Reaction\r\nContent-Type: text/plain\r\n\r\n👍"})
	if !m.Reaction || m.Reply != "q" || m.Text != "👍" {
		t.Errorf("a reaction read as %+v", m)
	}
	m = read(t, Raw{ContentType: "message/cpim", Body: cpimHead + "linphone.Replaces: q\r\nlinphone.Retracts: r\r\n\r\nContent-Type: message/imdn+xml\r\n\r\n" + receipt})
	if m.Replaces != "q" || m.Retracts != "r" || !m.Notification() {
		t.Errorf("read as %+v", m)
	}
}

// What is not understood is passed on; what would deceive or cost is refused.
func TestReadUnknownAndUnsound(t *testing.T) {
	t.Parallel()
	for _, raw := range []Raw{
		{ContentType: "application/x-unknown", Body: "\x00\x01"},
		{ContentType: "text/plain", ContentEncoding: "gzip", Body: "\x1f\x8b"},
		{ContentType: "multipart/mixed", Body: "without a boundary"},
		{ContentType: "message/imdn+xml", Body: "<no"},
		{ContentType: "application/im-iscomposing+xml", Body: "<!DOCTYPE a><a/>"},
		{},
	} {
		if m := read(t, raw); m.Notification() || m.Writing || string(m.Body) != raw.Body {
			t.Errorf("%+v read as %+v", raw, m)
		}
	}
	for _, raw := range []Raw{
		{ContentType: "message/cpim", Body: "no header"},
		{ContentType: "message/cpim", ContentEncoding: "gzip", Body: "\x1f\x8b"},
	} {
		if m, err := Read(raw); !errors.Is(err, ErrWrapped) {
			t.Errorf("%+v read as %+v, %v", raw, m, err)
		}
	}
	bomb := string(deflate(make([]byte, 8<<20)))
	if _, err := Read(Raw{ContentType: "text/plain", ContentEncoding: "deflate", Body: bomb}); !errors.Is(err, mime.ErrTooLong) {
		t.Errorf("a bomb: %v", err)
	}
	parts := strings.Repeat("--x\r\n\r\n1\r\n", 100)
	if _, err := Read(Raw{ContentType: "multipart/mixed;boundary=x", Body: parts}); !errors.Is(err, mime.ErrTooMany) {
		t.Errorf("100 parts: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("text/plain", "", "hi")
	f.Add("message/cpim", "", cpimHead+"\r\nContent-Type: text/plain\r\n\r\nyes")
	f.Add("message/cpim", "deflate", string(deflate([]byte(cpimHead+"\r\nContent-Type: message/imdn+xml\r\n\r\n"+receipt))))
	f.Add("multipart/mixed;boundary=x", "", fmt.Sprintf("--x\r\nContent-Type: message/imdn+xml\r\n\r\n%s\r\n--x--", receipt))
	f.Fuzz(func(t *testing.T, kind, encoding, body string) {
		m, err := Read(Raw{ContentType: kind, ContentEncoding: encoding, Body: body})
		if err == nil && (len(m.Text) > maxText || len(m.Body) > max(len(body), mime.MaxBytes)) {
			t.Fatalf("%d bytes of text from %d", len(m.Text), len(body))
		}
	})
}

func BenchmarkReadWrapped(b *testing.B) {
	raw := Raw{ContentType: "message/cpim", Body: cpimHead + "\r\nContent-Type: text/plain\r\n\r\nyes"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Read(raw); err != nil {
			b.Fatal(err)
		}
	}
}

// deflate makes a zlib stream, as Linphone does.
func deflate(b []byte) []byte {
	var buf bytes.Buffer
	z := zlib.NewWriter(&buf)
	_, _ = z.Write(b) // a buffer takes all
	_ = z.Close()
	return buf.Bytes()
}

package chat

import (
	"bytes"
	"compress/zlib"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/coraltele/sanchar/pkg/pbx/chat/inbox"
	"github.com/coraltele/sanchar/pkg/record"
)

// deflated is a message whose body is a zlib stream (RFC 1950).
func deflated(t *testing.T, body string) *inbox.Wire {
	t.Helper()
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	if _, err := z.Write([]byte(body)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return &inbox.Wire{Head: []byte("Content-Type: text/plain\r\nContent-Encoding: deflate\r\n"), Body: b.Bytes()}
}

// Whatever a message is, the archive takes its record.
func TestARecordIsNeverTooLong(t *testing.T) {
	const archive = 256 << 10
	for name, body := range map[string]string{
		"controls": strings.Repeat("\x01", maxContent),
		"words":    strings.Repeat("नमस्ते ", 10_000),
		"long":     strings.Repeat("x", 200<<10),
	} {
		w := deflated(t, body)
		recs := recordsOf(&inbox.Item{Rec: record.Message{ID: "x", Text: searched(body)}}, w)
		data, err := json.Marshal(recs[0])
		if err != nil || len(data) > archive {
			t.Errorf("%s: %d bytes, %v", name, len(data), err)
		}
		if want := len(body) <= maxContent; want != (string(recs[0].Content) == body) || !want && !bytes.Equal(recs[0].Content, w.Body) {
			t.Errorf("%s: content of %d bytes", name, len(recs[0].Content))
		}
		if !utf8.ValidString(recs[0].Text) || !strings.HasPrefix(body, recs[0].Text) || recs[0].Text == "" {
			t.Errorf("%s: text of %d bytes", name, len(recs[0].Text))
		}
	}
}

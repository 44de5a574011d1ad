package mime

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// captioned is a file with a caption, as Linphone sends them together.
const captioned = "-----------------------------14737809831466499882746641449\r\n" +
	"Content-Type: application/vnd.gsma.rcs-ft-http+xml\r\nContent-Length: 7\r\n\r\n<file/>\r\n" +
	"-----------------------------14737809831466499882746641449\r\n" +
	"Content-Type: text/plain\r\nContent-Length: 7\r\n\r\ncaption\r\n" +
	"-----------------------------14737809831466499882746641449--\r\n"

const captionedType = "multipart/mixed;boundary=---------------------------14737809831466499882746641449"

func entity(kind, body string) *Entity {
	return &Entity{Headers: []Header{{"Content-Type", kind}}, Body: body}
}

func bodies(t *testing.T, e *Entity) (all []string) {
	t.Helper()
	err := Leaves(e, func(p *Entity) error {
		all = append(all, p.Type()+" "+p.Body)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestLeaves(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		e    *Entity
		want []string
	}{
		"no multipart":      {entity("Text/Plain;charset=UTF-8", "hi"), []string{"text/plain hi"}},
		"no type":           {&Entity{Body: "hi"}, []string{"text/plain hi"}},
		"linphone":          {entity(captionedType, captioned), []string{"application/vnd.gsma.rcs-ft-http+xml <file/>", "text/plain caption"}},
		"quoted boundary":   {entity(`multipart/mixed; x="a;b"; boundary="a b\"c"`, "pre\r\n--a b\"c\r\n\r\n1\r\n--a b\"c--\r\npost"), []string{"text/plain 1"}},
		"bare line feeds":   {entity("multipart/mixed; boundary=x", "--x\n\n1\n\n--x  \n\n2\n--x--"), []string{"text/plain 1\n", "text/plain 2"}},
		"cut off":           {entity("multipart/mixed; boundary=x", "--x\r\n\r\n1\r\n--x\r\n\r\n2"), []string{"text/plain 1", "text/plain 2"}},
		"longer boundaries": {entity("multipart/mixed; boundary=x", "--x\r\n\r\n--xy\r\n--x-\r\n--x--"), []string{"text/plain --xy\r\n--x-"}},
		"nested":            {entity("multipart/mixed; boundary=x", "--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n\r\n1\r\n--y--\r\n--x\r\n\r\n2\r\n--x--"), []string{"text/plain 1", "text/plain 2"}},
		"folded":            {entity("multipart/mixed; boundary=x", "--x\r\nContent-Type:\r\n text/html\r\n\r\n1\r\n--x--"), []string{"text/html 1"}},
	} {
		if got := bodies(t, c.e); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %q, wanted %q", name, got, c.want)
		}
	}
}

// nest wraps multiparts in one another, depth times.
func nest(depth int) (kind, body string) {
	kind, body = "text/plain", "x"
	for i := range depth {
		b := fmt.Sprint("b", i)
		body = fmt.Sprintf("--%s\r\nContent-Type: %s\r\n\r\n%s\r\n--%s--", b, kind, body, b)
		kind = "multipart/mixed; boundary=" + b
	}
	return kind, body
}

func TestLeavesRefuses(t *testing.T) {
	t.Parallel()
	deep, deepBody := nest(maxDepth + 1)
	for name, c := range map[string]struct {
		e    *Entity
		want error
	}{
		"depth":          {entity(deep, deepBody), ErrTooMany},
		"parts":          {entity("multipart/mixed; boundary=x", strings.Repeat("--x\r\n\r\n1\r\n", maxParts+1)), ErrTooMany},
		"length":         {entity("text/plain", strings.Repeat("x", MaxBytes+1)), ErrTooLong},
		"no boundary":    {entity("multipart/mixed", "x"), ErrBoundary},
		"long boundary":  {entity("multipart/mixed; boundary="+strings.Repeat("x", maxBoundary+1), "x"), ErrBoundary},
		"no part":        {entity("multipart/mixed; boundary=x", "--y\r\n"), ErrBoundary},
		"no header name": {entity("multipart/mixed; boundary=x", "--x\r\n: a\r\n\r\n1\r\n--x--"), ErrHeader},
		"no empty line":  {entity("multipart/mixed; boundary=x", "--x\r\nA: b"), ErrHeader},
		"many headers":   {entity("multipart/mixed; boundary=x", "--x\r\n"+strings.Repeat("A: b\r\n", maxHeaders+1)+"\r\n--x--"), ErrHeader},
	} {
		if err := Leaves(c.e, func(*Entity) error { return nil }); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, wanted %v", name, err, c.want)
		}
	}
	kind, body := nest(maxDepth)
	if got := bodies(t, entity(kind, body)); len(got) != 1 {
		t.Errorf("%d multiparts in one another gave %q", maxDepth, got)
	}
}

func TestInflate(t *testing.T) {
	t.Parallel()
	const text = "नमस्ते 👋"
	got, err := Inflate(deflate([]byte(text)))
	if err != nil || string(got) != text {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := Inflate(nil); err != nil || got != nil {
		t.Errorf("an empty body gave %q, %v", got, err)
	}
	if _, err := Inflate([]byte("no stream")); err == nil {
		t.Error("no error for what is no stream")
	}
	if _, err := Inflate(deflate([]byte(text))[:10]); err == nil {
		t.Error("no error for a stream that was cut off")
	}
}

// A bomb of 64 MB costs what may be read, and no more.
func TestInflateRefusesABomb(t *testing.T) {
	var bomb bytes.Buffer
	z := zlib.NewWriter(&bomb)
	for range 64 {
		if _, err := z.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	res := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			if _, err := Inflate(bomb.Bytes()); !errors.Is(err, ErrTooLong) {
				b.Fatalf("error %v", err)
			}
		}
	})
	if used := res.AllocedBytesPerOp(); used > 8*MaxBytes {
		t.Errorf("a bomb of %d bytes took %d bytes of memory", bomb.Len(), used)
	}
}

func FuzzLeaves(f *testing.F) {
	f.Add(captionedType, captioned)
	f.Add("multipart/mixed; boundary=x", "--x\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\n1\r\n--x--")
	f.Add(`multipart/related;boundary="a;b"`, "--a;b\n\n--a;b--")
	f.Fuzz(func(t *testing.T, kind, body string) {
		total, parts := 0, 0
		err := Leaves(entity(kind, body), func(p *Entity) error {
			parts++
			total += len(p.Body)
			return nil
		})
		if total > len(body) || parts > max(maxParts, 1) {
			t.Fatalf("%d parts of %d bytes from %d bytes, %v", parts, total, len(body), err)
		}
	})
}

func FuzzInflate(f *testing.F) {
	f.Add(deflate([]byte("hello")))
	f.Add([]byte{0x78, 0x9c})
	f.Fuzz(func(t *testing.T, b []byte) {
		if out, err := Inflate(b); err == nil && len(out) > MaxBytes {
			t.Fatalf("%d bytes", len(out))
		}
	})
}

// deflate makes a zlib stream, as Linphone does.
func deflate(b []byte) []byte {
	var buf bytes.Buffer
	z := zlib.NewWriter(&buf)
	_, _ = z.Write(b) // a buffer takes all
	_ = z.Close()
	return buf.Bytes()
}

package ftxml

import (
	"strings"
	"testing"
	"time"
)

// note is what Linphone 5.1.65 sends of a file.
const note = `<?xml version="1.0" encoding="UTF-8"?>
<file xmlns="urn:gsma:params:xml:ns:rcs:rcs:fthttp" xmlns:am="urn:gsma:params:xml:ns:rcs:rcs:rram">
<file-info type="file">
<file-size>16</file-size>
<file-name>note.txt</file-name>
<content-type>text/plain</content-type>
<data url="http://127.0.77.10:25081/ft/73b8bbc85365" until="2026-11-30T10:58:07Z"/>
</file-info>
</file>`

func TestParse(t *testing.T) {
	t.Parallel()
	want := File{Name: "note.txt", ContentType: "text/plain", Size: 16, URL: "http://127.0.77.10:25081/ft/73b8bbc85365", Until: time.Date(2026, 11, 30, 10, 58, 7, 0, time.UTC)}
	got, err := Parse([]byte(note))
	if err != nil || len(got) != 1 || got[0] != want {
		t.Errorf("read as %+v, %v", got, err)
	}
	thumbnail := strings.Replace(note, "<file-info", `<file-info type="thumbnail"><data url="x"/></file-info><file-info`, 1)
	if got, err := Parse([]byte(thumbnail)); err != nil || len(got) != 1 {
		t.Errorf("with a thumbnail read as %+v, %v", got, err)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{
		"another document": `<imdn/>`,
		"no file":          `<file/>`,
		"no address":       strings.Replace(note, "http://127.0.77.10:25081/ft/73b8bbc85365", "", 1),
		"two lines":        strings.Replace(note, "http://", "http://&#13;&#10;", 1),
		"size":             strings.Replace(note, ">16<", ">-1<", 1),
		"no size":          strings.Replace(note, ">16<", ">many<", 1),
		"name":             strings.Replace(note, "note.txt", strings.Repeat("n", maxName+1), 1),
		"files":            `<file>` + strings.Repeat(note[strings.Index(note, "<file-info"):strings.LastIndex(note, "</file>")], maxFiles+1) + `</file>`,
		"a DTD":            `<!DOCTYPE file SYSTEM "x">` + note,
	} {
		if got, err := Parse([]byte(doc)); err == nil {
			t.Errorf("%s: read as %+v", name, got)
		}
	}
}

func TestAppendIsReadBack(t *testing.T) {
	t.Parallel()
	f := File{Name: `<"a"> & 'b'.txt`, ContentType: "audio/wav;voice-recording=yes", Size: 1 << 40, URL: "https://box/f/1?a=b&c=d", Until: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	got, err := Parse(f.Append(nil))
	if err != nil || len(got) != 1 || got[0] != f {
		t.Errorf("%s read back as %+v, %v", f.Append(nil), got, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(note))
	f.Fuzz(func(t *testing.T, doc []byte) {
		files, err := Parse(doc)
		for _, file := range files {
			if err != nil || file.URL == "" || file.Size < 0 {
				t.Fatalf("%q read as %+v, %v", doc, files, err)
			}
		}
	})
}

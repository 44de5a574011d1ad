package xmltree

import (
	"errors"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	root, err := Parse([]byte(`<?xml version="1.0" encoding="UTF-8"?><a xmlns="urn:x" n="1"> one &amp; <b>नमस्ते</b>two<c k="v"/></a>`))
	if err != nil {
		t.Fatal(err)
	}
	if root.Space != "urn:x" || root.Name != "a" || root.Attr("n") != "1" || root.ChildText("b") != "नमस्ते" || root.Child("c").Attr("k") != "v" {
		t.Errorf("read as %+v", root)
	}
	if root.Text != "one & two" {
		t.Errorf("text %q", root.Text)
	}
	if root.Child("none").Child("deeper") != nil || root.Child("none").Attr("k") != "" || root.ChildText("none") != "" {
		t.Error("what is not there was found")
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	bomb := `<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><a>&b;</a>`
	for name, c := range map[string]struct {
		doc  string
		want error
	}{
		"a DTD":                     {bomb, ErrDTD},
		"an external entity":        {`<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>`, ErrDTD},
		"an entity of no DTD":       {`<a>&xxe;</a>`, nil},
		"nothing":                   {``, ErrNoRoot},
		"two roots":                 {`<a/><b/>`, ErrNoRoot},
		"an element left open":      {`<a><b></b>`, nil},
		"another end":               {`<a></b>`, nil},
		"depth":                     {strings.Repeat("<a>", maxDepth+1) + strings.Repeat("</a>", maxDepth+1), ErrTooMany},
		"number":                    {`<a>` + strings.Repeat("<b/>", maxElements) + `</a>`, ErrTooMany},
		"length":                    {`<a>` + strings.Repeat(" ", MaxBytes) + `</a>`, ErrTooLong},
		"a character set like that": {`<?xml version="1.0" encoding="UTF-16"?><a/>`, nil},
	} {
		_, err := Parse([]byte(c.doc))
		if err == nil || (c.want != nil && !errors.Is(err, c.want)) {
			t.Errorf("%s: error %v, wanted %v", name, err, c.want)
		}
	}
}

func TestAppendTextIsReadBack(t *testing.T) {
	t.Parallel()
	const text = `<&>"' end`
	doc := append(AppendText([]byte(`<a k="`), text), `">`...)
	doc = append(AppendText(doc, text), `</a>`...)
	root, err := Parse(doc)
	if err != nil || root.Text != text || root.Attr("k") != text {
		t.Errorf("%s read as %+v, %v", doc, root, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`<?xml version="1.0" encoding="UTF-8" standalone="no" ?><imdn xmlns="urn:ietf:params:xml:ns:imdn"><message-id>a</message-id></imdn>`))
	f.Add([]byte(`<!DOCTYPE a [<!ENTITY a "b">]><a>&a;</a>`))
	f.Add([]byte(`<a xmlns:x="y"><x:b c="d">e<![CDATA[f]]></x:b></a>`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		root, err := Parse(doc)
		if (root == nil) == (err == nil) {
			t.Fatalf("element %v with error %v", root, err)
		}
		if root != nil && count(root) > maxElements {
			t.Fatalf("%d elements", count(root))
		}
	})
}

func count(e *Element) int {
	n := 1
	for _, c := range e.Children {
		n += count(c)
	}
	return n
}

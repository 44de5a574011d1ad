// Package xmltree reads the small XML documents that SIP carries into a tree, within bounds, and
// refuses what could reach outside of the document: DTDs and entities.
package xmltree

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Limits of a document. The largest that phones send, a file's information, has 12 elements.
const (
	MaxBytes    = 64 << 10 // a SIP message has no more
	maxElements = 512
	maxDepth    = 12
	maxAttrs    = 32 // of one element
)

// Errors of a document that is not read.
var (
	ErrTooLong = errors.New("XML document is longer than we read")
	ErrTooMany = errors.New("XML document has more elements than we read")
	ErrDTD     = errors.New("XML document has a DTD, which could bring entities")
	ErrNoRoot  = errors.New("XML document does not have one root element")
)

// Element is one element of a document.
type Element struct {
	Space, Name string // namespace and local name
	Attrs       []xml.Attr
	Text        string // of the element itself, without its children's, trimmed
	Children    []*Element
}

// Parse reads a document and returns its root element.
func Parse(doc []byte) (*Element, error) {
	if len(doc) > MaxBytes {
		return nil, ErrTooLong
	}
	d := xml.NewDecoder(bytes.NewReader(doc)) // strict: it knows no entity but the five of XML itself
	var r reader
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read XML: %w", err)
		}
		if err := r.token(t); err != nil {
			return nil, err
		}
	}
	if r.root == nil {
		return nil, ErrNoRoot
	}
	return r.root, nil
}

// reader builds the tree.
type reader struct {
	root  *Element
	open  []*Element // from the root to where we are
	count int
}

func (r *reader) token(t xml.Token) error {
	switch t := t.(type) {
	case xml.Directive:
		return ErrDTD
	case xml.StartElement:
		return r.start(t)
	case xml.EndElement:
		last := r.open[len(r.open)-1]
		last.Text = strings.TrimSpace(last.Text)
		r.open = r.open[:len(r.open)-1]
	case xml.CharData:
		if len(r.open) > 0 {
			r.open[len(r.open)-1].Text += string(t)
		}
	}
	return nil
}

func (r *reader) start(t xml.StartElement) error {
	r.count++
	if r.count > maxElements || len(r.open) >= maxDepth || len(t.Attr) > maxAttrs {
		return ErrTooMany
	}
	e := &Element{Space: t.Name.Space, Name: t.Name.Local, Attrs: t.Copy().Attr}
	switch {
	case len(r.open) > 0:
		parent := r.open[len(r.open)-1]
		parent.Children = append(parent.Children, e)
	case r.root != nil:
		return ErrNoRoot
	default:
		r.root = e
	}
	r.open = append(r.open, e)
	return nil
}

// Child returns the first child of a name in any namespace, nil if there is none: clients differ in
// the namespaces that they give to extensions. It may be asked of nil.
func (e *Element) Child(name string) *Element {
	if e == nil {
		return nil
	}
	for _, c := range e.Children {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// ChildText returns the text of the first child of a name, "" if there is none.
func (e *Element) ChildText(name string) string {
	if c := e.Child(name); c != nil {
		return c.Text
	}
	return ""
}

// Attr returns an attribute, "" if there is none. It may be asked of nil.
func (e *Element) Attr(name string) string {
	if e == nil {
		return ""
	}
	for _, a := range e.Attrs {
		if a.Name.Local == name && a.Name.Space != "xmlns" {
			return a.Value
		}
	}
	return ""
}

// AppendText appends a text as the content of an element or of an attribute.
func AppendText(dst []byte, text string) []byte {
	b := bytes.NewBuffer(dst)
	_ = xml.EscapeText(b, []byte(text)) // a buffer takes all
	return b.Bytes()
}

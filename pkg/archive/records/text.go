package records

import (
	"bytes"
	"encoding/json"
	"strings"
)

// textMatch finds text in the values of a record, not in its keys.
type textMatch struct {
	needle string // in lower case
	quick  []byte // bytes that a match must contain as they are; nil when that cannot be said
}

func newTextMatch(text string) *textMatch {
	m := &textMatch{needle: strings.ToLower(text)}
	escaped := func(r rune) bool { return r >= 0x80 || r < ' ' || strings.ContainsRune(`<>&"\`, r) }
	if !strings.ContainsFunc(m.needle, escaped) { // JSON writes it as it is
		m.quick = []byte(m.needle)
	}
	return m
}

// in reports whether a value of the JSON object in data contains the text.
func (m *textMatch) in(data []byte) bool {
	if m.quick != nil && !containsFold(data, m.quick) {
		return false
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	for v := range values(dec) {
		if strings.Contains(strings.ToLower(v), m.needle) {
			return true
		}
	}
	return false
}

// containsFold finds lower, which is ASCII in lower case, in ASCII of any case.
func containsFold(data, lower []byte) bool {
	first := lower[:1]
	upper := bytes.ToUpper(first)
	for at := 0; at+len(lower) <= len(data); at++ {
		next := indexEither(data[at:], first[0], upper[0])
		if next < 0 || at+next+len(lower) > len(data) {
			return false
		}
		at += next
		if bytes.EqualFold(data[at:at+len(lower)], lower) {
			return true
		}
	}
	return false
}

func indexEither(data []byte, a, b byte) int {
	i := bytes.IndexByte(data, a)
	if a == b {
		return i
	}
	if i >= 0 {
		data = data[:i]
	}
	if j := bytes.IndexByte(data, b); j >= 0 {
		return j
	}
	return i
}

// values yields the strings and numbers of a JSON document, without the names of its fields.
func values(dec *json.Decoder) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		var object []bool // of each nesting: whether it is an object
		name := false     // the next string is a field's name
		for {
			tok, err := dec.Token()
			if err != nil {
				return // the end: what was stored is well formed
			}
			text := ""
			switch v := tok.(type) {
			case json.Delim:
				switch v {
				case '{', '[':
					object = append(object, v == '{')
				default:
					object = object[:len(object)-1]
				}
				name = len(object) > 0 && object[len(object)-1]
				continue
			case string:
				text = v
			case json.Number:
				text = v.String()
			}
			if name {
				name = false
				continue
			}
			name = len(object) > 0 && object[len(object)-1]
			if text != "" && !yield(text) {
				return
			}
		}
	}
}

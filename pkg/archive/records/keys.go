package records

import (
	"slices"
	"strings"

	"github.com/coraltele/sanchar/pkg/record"
)

// A posting is a key of the index: field, value, 0, record id. All records with a value stand
// together in the order of time. The field is one byte, for the index is most of a file.
func fieldByte(f record.Field) byte {
	switch f {
	case record.FieldUser:
		return 'u'
	case record.FieldNumber:
		return 'n'
	case record.FieldCallID:
		return 'c'
	case record.FieldStatus:
		return 's'
	case record.FieldAoR:
		return 'a'
	case record.FieldSource:
		return 'i'
	case record.FieldInstance:
		return 'd'
	case record.FieldResult:
		return 'r'
	case record.FieldReason:
		return 'e'
	case record.FieldWho:
		return 'w'
	case record.FieldAct:
		return 'x'
	}
	return 0
}

// prefix is what the postings of a value begin with.
func prefix(f record.Field, value string) string {
	return string(fieldByte(f)) + value + "\x00"
}

// postings returns the sorted keys under which a record is found, each once.
func (t terms) postings(id string) []string {
	var keys []string
	for f, values := range t {
		for _, v := range values {
			keys = append(keys, prefix(f, v)+id)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// missing returns the keys of a that are not in b; both are sorted.
func missing(a, b []string) (gone []string) {
	for _, k := range a {
		for len(b) > 0 && strings.Compare(b[0], k) < 0 {
			b = b[1:]
		}
		if len(b) == 0 || b[0] != k {
			gone = append(gone, k)
		}
	}
	return gone
}

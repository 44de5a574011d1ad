package records

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/coraltele/sanchar/pkg/record"
)

// fieldWord are the words of a message: it is asked for by Words, not by Match.
const fieldWord record.Field = "word"

// fieldByte stands for a field in a key: it is one byte, for the index is most of a file.
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
	case record.FieldCall:
		return 'l'
	case record.FieldWhy:
		return 'b'
	case record.FieldSender:
		return 'f'
	case record.FieldRecipient:
		return 't'
	case record.FieldMessageID:
		return 'm'
	case record.FieldThread:
		return 'h'
	case record.FieldType:
		return 'y'
	case record.FieldRefers:
		return 'o'
	case fieldWord:
		return 'W'
	}
	return 0
}

// term is what a record with this value is found by. Identifiers of messages are long, and each is
// in one message: a hash stands for them, and who searches looks at the record.
func term(kind record.Kind, f record.Field, value string) string {
	if kind == record.KindMessage {
		switch f {
		case record.FieldCallID, record.FieldMessageID, record.FieldRefers:
			sum := sha256.Sum256([]byte(value))
			value = base64.RawStdEncoding.EncodeToString(sum[:8])
		}
	}
	return string(fieldByte(f)) + value
}

// sorted returns what a record is found by, in order, each once.
func (t terms) sorted(kind record.Kind) []string {
	var all []string
	for f, values := range t {
		for _, v := range values {
			all = append(all, term(kind, f, v))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// missing returns what is in a but not in b; both are sorted.
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

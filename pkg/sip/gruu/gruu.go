// Package gruu makes and reads public GRUUs: the one URI that reaches one device of a user from
// anywhere (RFC 5627).
package gruu

import (
	"strings"

	"github.com/coraltele/sanchar/pkg/sip/aor"
)

// AppendPublic appends the public GRUU of an instance: its AoR with the gr parameter
// (RFC 5627 §4.1). The instance is the URN without its angle brackets.
func AppendPublic(dst []byte, aorText, instance string) []byte {
	dst = append(append(dst, aorText...), ";gr="...)
	for i := range len(instance) {
		if c := instance[i]; c == ';' || c == '?' || c == '"' || c <= ' ' || c >= 0x7f || c == '%' || c == '>' || c == '<' || c == ',' {
			const hex = "0123456789ABCDEF"
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

// Instance returns the instance that a URI names, and whether it is a GRUU. A gr parameter
// without value is a temporary GRUU (RFC 5627 §3.1.2), which the box does not give out.
func Instance(u *aor.URI) (instance string, ok bool) {
	v, ok := u.Param("gr")
	return aor.Unescape(v), ok
}

// TrimInstance returns the URN of a +sip.instance value, without its angle brackets
// (RFC 5626 §4.1).
func TrimInstance(v string) string {
	return strings.TrimSuffix(strings.TrimPrefix(v, "<"), ">")
}

package nft

import (
	"bytes"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// span is a range of keys, both ends included, in network order.
type span struct{ first, last []byte }

// merged returns the spans sorted, with those that touch or overlap made one: the kernel takes no
// set whose intervals overlap.
func merged(spans []span) (out []span) {
	spans = slices.Clone(spans)
	slices.SortFunc(spans, func(a, b span) int { return bytes.Compare(a.first, b.first) })
	for _, s := range spans {
		if n := len(out); n > 0 {
			end, more := next(out[n-1].last)
			if !more || bytes.Compare(s.first, end) <= 0 {
				if bytes.Compare(s.last, out[n-1].last) > 0 {
					out[n-1].last = s.last
				}
				continue
			}
		}
		out = append(out, s)
	}
	return out
}

// next returns the key after b; there is none after the last.
func next(b []byte) (after []byte, ok bool) {
	after = bytes.Clone(b)
	for i := len(after) - 1; i >= 0; i-- {
		after[i]++
		if after[i] != 0 {
			return after, true
		}
	}
	return nil, false
}

// within asks whether the first register is in one of the spans.
func (e *encoder) within(kind nftables.SetDatatype, spans []span, not bool) {
	single := !slices.ContainsFunc(spans, func(s span) bool { return !bytes.Equal(s.first, s.last) })
	switch {
	case single:
		keys := make([][]byte, len(spans))
		for i, s := range spans {
			keys[i] = s.first
		}
		slices.SortFunc(keys, bytes.Compare)
		e.oneOf(kind, slices.CompactFunc(keys, bytes.Equal), not)
	case len(spans) == 1:
		e.inside(spans[0], not)
	default:
		e.lookup(&nftables.Set{KeyType: kind, Interval: true}, intervals(merged(spans)), not)
	}
}

// inside compares the first register with one span. A prefix is compared by its bits.
func (e *encoder) inside(s span, not bool) {
	mask, ok := prefixMask(s)
	op := expr.CmpOpEq
	if not {
		op = expr.CmpOpNeq
	}
	if ok {
		e.add(and(mask), &expr.Cmp{Op: op, Register: reg1, Data: s.first})
		return
	}
	e.add(&expr.Range{Op: op, Register: reg1, FromData: s.first, ToData: s.last})
}

// prefixMask returns the mask of a span of addresses that is a prefix.
func prefixMask(s span) (mask []byte, ok bool) {
	if len(s.first) < size4 { // ports have no prefixes
		return nil, false
	}
	mask = make([]byte, len(s.first))
	open := true // every bit so far is the same in both ends
	for bit := range len(mask) * 8 {
		at, sign := bit/8, byte(0x80>>(bit%8))
		first, last := s.first[at]&sign != 0, s.last[at]&sign != 0
		switch {
		case open && first == last:
			mask[at] |= sign
		case first || !last:
			return nil, false
		default:
			open = false
		}
	}
	return mask, true
}

// intervals returns the elements of an interval set: where each span begins, and the key behind it.
// The first says that below the first span there is nothing, as nft(8) does.
func intervals(spans []span) (elements []nftables.SetElement) {
	if zero := make([]byte, len(spans[0].first)); !bytes.Equal(zero, spans[0].first) {
		elements = append(elements, nftables.SetElement{Key: zero, IntervalEnd: true})
	}
	for _, s := range spans {
		elements = append(elements, nftables.SetElement{Key: s.first})
		if end, more := next(s.last); more {
			elements = append(elements, nftables.SetElement{Key: end, IntervalEnd: true})
		}
	}
	return elements
}

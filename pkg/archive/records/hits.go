package records

import (
	"go.etcd.io/bbolt"

	"github.com/coraltele/sanchar/pkg/archive/search"
	"github.com/coraltele/sanchar/pkg/base/ids"
)

// messageHits turns what the lists of words find into ids of records.
type messageHits struct {
	hits   *search.Hits
	cursor *bbolt.Cursor // of records
	next   search.Doc    // the lists go on below it
	head   uint64        // of the records that are walked now
	open   bool          // there may be more of them
}

func newMessageHits(hits *search.Hits, records *bbolt.Bucket, upper string) *messageHits {
	h := &messageHits{hits: hits, cursor: records.Cursor(), next: ^search.Doc(0)}
	if head, ok := ids.Head(upper[:min(len(upper), len(ids.HeadPrefix(0)))]); ok {
		h.next = search.Doc(head) + 1 // others of the same head may be lower
	}
	return h
}

func (h *messageHits) below(bound string) (id string, agreed bool, err error) {
	for {
		if h.open {
			if id := h.sameHead(bound); id != "" {
				return id, true, nil
			}
			h.open = false
		}
		doc, agreed, ok, err := h.hits.Below(h.next)
		if err != nil || !ok {
			return "", false, err
		}
		h.next = doc
		if !agreed {
			return ids.HeadPrefix(uint64(doc)), false, nil
		}
		h.head, h.open = uint64(doc), true
	}
}

// sameHead returns the highest record below bound of those with the head.
func (h *messageHits) sameHead(bound string) string {
	k, _ := last(h.cursor, min(bound, ids.HeadPrefix(h.head+1)))
	if k == nil || string(k) < ids.HeadPrefix(h.head) {
		return ""
	}
	return string(k)
}

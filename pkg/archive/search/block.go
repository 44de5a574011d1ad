package search

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"
)

// Doc is a document: a number that sorts as the documents do. Few share one.
type Doc uint64

// A posting list is cut into blocks, so that a document more or less costs one block. A block's
// key is term, 0, first document; its value the distances of the others from the one before.
const (
	docBytes = 8
	tail     = 1 + docBytes // what follows the term in a key
	// blockDocs is how many documents a block holds at most: about a kilobyte.
	blockDocs = 256
)

func blockKey(term string, first Doc) []byte {
	key := make([]byte, 0, len(term)+tail)
	key = append(append(key, term...), 0)
	return binary.BigEndian.AppendUint64(key, uint64(first))
}

// termOf returns the term of a block's key.
func termOf(key []byte) []byte {
	if len(key) < tail {
		return nil
	}
	return key[:len(key)-tail]
}

// firstOf returns the first document of the block at key, if the block is of this term.
func firstOf(key []byte, term string) (Doc, bool) {
	if len(key) != len(term)+tail || key[len(term)] != 0 || string(key[:len(term)]) != term {
		return 0, false
	}
	return Doc(binary.BigEndian.Uint64(key[len(term)+1:])), true
}

func encodeBlock(docs []Doc) []byte {
	value := make([]byte, 0, 5*len(docs))
	for i, d := range docs[1:] {
		value = binary.AppendUvarint(value, uint64(d-docs[i]))
	}
	return value
}

// decodeBlock appends to docs.
func decodeBlock(docs []Doc, first Doc, value []byte) ([]Doc, error) {
	docs = append(docs, first)
	for at := first; len(value) > 0; {
		step, n := binary.Uvarint(value)
		if n <= 0 {
			return nil, fmt.Errorf("a block of postings from %d is damaged", first)
		}
		at += Doc(step)
		docs = append(docs, at)
		value = value[n:]
	}
	return docs, nil
}

// block is one as it is changed.
type block struct {
	first Doc
	docs  []Doc // none: it is new
	limit Doc   // first document of the next block
	last  bool  // there is no next
}

// change adds documents to a term's list and takes some away; both are sorted.
func change(b *bbolt.Bucket, term string, add, remove []Doc) error {
	for len(add)+len(remove) > 0 {
		at := slices.Min(append(slices.Clone(add[:min(1, len(add))]), remove[:min(1, len(remove))]...))
		blk, err := blockAt(b, term, at)
		if err != nil {
			return err
		}
		var plus, minus []Doc
		plus, add = blk.share(add)
		minus, remove = blk.share(remove)
		if err := blk.write(b, term, merge(blk.docs, plus, minus)); err != nil {
			return err
		}
	}
	return nil
}

// blockAt returns the block that at is in or belongs to: the last that begins at or before it, or
// the first of all.
func blockAt(b *bbolt.Bucket, term string, at Doc) (blk block, err error) {
	c := b.Cursor()
	key, value := seekLast(c, term, at)
	if key == nil {
		key, value = c.Seek(blockKey(term, at))
	}
	first, ok := firstOf(key, term)
	if !ok {
		return block{last: true}, nil
	}
	blk.first = first
	if blk.docs, err = decodeBlock(nil, first, value); err != nil {
		return blk, err
	}
	c.Seek(blockKey(term, first))
	key, _ = c.Next()
	next, more := firstOf(key, term)
	blk.limit, blk.last = next, !more
	return blk, nil
}

// seekLast returns the last block of a term that begins at or before at, nil when there is none.
func seekLast(c *bbolt.Cursor, term string, at Doc) (key, value []byte) {
	want := blockKey(term, at)
	key, value = c.Seek(want)
	if key != nil && bytes.Equal(key, want) {
		return key, value
	}
	if key == nil {
		key, value = c.Last()
	} else {
		key, value = c.Prev()
	}
	if _, ok := firstOf(key, term); !ok {
		return nil, nil
	}
	return key, value
}

// share cuts off what belongs to this block.
func (blk block) share(docs []Doc) (mine, rest []Doc) {
	if blk.last {
		return docs, nil
	}
	n, _ := slices.BinarySearch(docs, blk.limit)
	return docs[:n], docs[n:]
}

// merge returns docs with plus and without minus; all are sorted.
func merge(docs, plus, minus []Doc) []Doc {
	merged := make([]Doc, 0, len(docs)+len(plus))
	merged = append(append(merged, docs...), plus...)
	if len(docs) > 0 && len(plus) > 0 && plus[0] <= docs[len(docs)-1] {
		slices.Sort(merged)
	}
	merged = slices.Compact(merged)
	return slices.DeleteFunc(merged, func(d Doc) bool {
		_, gone := slices.BinarySearch(minus, d)
		return gone
	})
}

// write puts docs in the place of the block, as several where one would be too long.
func (blk block) write(b *bbolt.Bucket, term string, docs []Doc) error {
	if len(blk.docs) > 0 && (len(docs) == 0 || docs[0] != blk.first) {
		if err := b.Delete(blockKey(term, blk.first)); err != nil {
			return err
		}
	}
	size := blockDocs
	if !blk.last && len(docs) > blockDocs { // inside a list leave room; its end fills by itself
		size = (len(docs) + 1) / 2
		size = min(size, blockDocs)
	}
	for part := range slices.Chunk(docs, size) {
		if err := b.Put(blockKey(term, part[0]), encodeBlock(part)); err != nil {
			return err
		}
	}
	return nil
}

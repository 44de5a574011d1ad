// Package composing reads the documents by which a phone says that its user is writing (RFC 3994).
package composing

import (
	"errors"
	"strconv"
	"time"

	"github.com/coraltele/sanchar/pkg/sip/xmltree"
)

// MediaType is the type of such a document (RFC 3994 §3).
const MediaType = "application/im-iscomposing+xml"

// ErrState is the error of a document that is none of these.
var ErrState = errors.New("not an isComposing document")

// defaultRefresh is how long an active state holds that names no time (RFC 3994 §3.3).
const defaultRefresh = 120 * time.Second

// State says whether a user is writing.
type State struct {
	Active      bool
	ContentType string        // of what is written, "" if it is not said
	Refresh     time.Duration // how long an active state holds without being said again
}

// Parse reads a document.
func Parse(doc []byte) (s State, err error) {
	root, err := xmltree.Parse(doc)
	if err != nil {
		return s, err
	}
	state := root.ChildText("state")
	if root.Name != "isComposing" || state == "" {
		return s, ErrState
	}
	s = State{Active: state == "active", ContentType: root.ChildText("contenttype"), Refresh: defaultRefresh} // RFC 3994 §3.1: any other state is idle
	if n, err := strconv.ParseUint(root.ChildText("refresh"), 10, 16); err == nil && n > 0 {
		s.Refresh = time.Duration(n) * time.Second
	}
	return s, nil
}

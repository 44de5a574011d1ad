// Package scan asks a scanner outside whether a file is clean, while the file arrives: nothing of it
// lies on disk readable for that.
package scan

import (
	"context"
	"io"
	"time"
)

// verdictTime is how long a scanner may think after the last byte.
const verdictTime = 2 * time.Minute

// File is what a scanner is told of a file.
type File struct {
	Name        string
	ContentType string
}

// Verdict is what a scanner found.
type Verdict struct {
	Clean bool
	Found string // in the scanner's words
}

// Scanner is a program or a service that looks at files.
type Scanner interface {
	// Begin starts to look at a file. The context bounds all of it.
	Begin(ctx context.Context, f File) (Scan, error)
}

// Scan is one file on its way through a scanner. A scanner that has seen enough takes the rest and
// does not look.
type Scan interface {
	io.Writer
	// Verdict ends the file and waits for what the scanner says.
	Verdict() (Verdict, error)
	// Close ends the scan, also without a verdict.
	Close()
}

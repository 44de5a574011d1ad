// Package ingest takes records from the daemons' outboxes into the archive and acknowledges them
// when they are on disk.
package ingest

import (
	"context"
	"net/http"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// Archive stores a batch; without error it is on disk.
type Archive interface {
	Store(ctx context.Context, batch []record.Envelope) (changed int, err error)
}

// Handle serves the outboxes on mux.
func Handle(mux *http.ServeMux, archive Archive) {
	ctl.Handle(mux, "POST /v1/records", func(r *http.Request, in ctl.Batch) (ctl.Ack, error) {
		n, err := archive.Store(r.Context(), in.Records)
		return ctl.Ack{Stored: n}, err
	})
}

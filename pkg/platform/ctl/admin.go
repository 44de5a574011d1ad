package ctl

import (
	"context"
	"net/http"
	"time"

	"github.com/coraltele/sanchar/pkg/record"
)

// AdminStatus is what admind says of itself.
type AdminStatus struct {
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	SetUp   bool      `json:"set_up"` // an admin exists
	Page    string    `json:"page"`   // address of the page
	Alarms  []Alarm   `json:"alarms,omitempty"`

	Provision      uint16 `json:"provision,omitempty"`       // port where phones fetch their settings
	PlainProvision uint16 `json:"plain_provision,omitempty"` // the same over HTTP
}

// Batch is a run of records from one daemon's outbox, in its order.
type Batch struct {
	Records []record.Envelope `json:"records"`
}

// Ack says that all records of a batch are stored.
type Ack struct {
	Stored int `json:"stored"` // those that were new or changed
}

// Admin is a client of admind.
type Admin struct{ *Client }

// NewAdmin returns a client of the admind that serves socket.
func NewAdmin(socket string) Admin { return Admin{NewClient("admind", socket)} }

// Status asks how admind is.
func (a Admin) Status(ctx context.Context) (st AdminStatus, err error) {
	return st, a.Do(ctx, http.MethodGet, "/v1/status", nil, &st)
}

// Store hands over records; when it returns without error they are on disk.
func (a Admin) Store(ctx context.Context, b Batch) (ack Ack, err error) {
	return ack, a.Do(ctx, http.MethodPost, "/v1/records", b, &ack)
}

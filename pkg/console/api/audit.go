package api

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/console/provision"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// begun is the detail of an act whose outcome was not written any more.
const begun = "begun"

// act does what an admin asked for. It stands in the audit log before it is done, so that nothing
// is done unseen whatever crashes, and again with its outcome. do may complete the entry.
func (a *API) act(ctx context.Context, who caller, what, object string, do func(entry *record.Audit) error) error {
	entry := newAudit(who, what, object)
	entry.Detail = begun
	if err := a.keep(ctx, entry); err != nil {
		return fmt.Errorf("audit of %s: %w", what, err)
	}
	entry.Detail = ""
	err := do(&entry)
	a.conclude(ctx, entry, err)
	a.cfg.Hub.Expire() // the overview may tell what was done
	return err
}

// conclude writes the outcome in the place of what was begun.
func (a *API) conclude(ctx context.Context, entry record.Audit, err error) {
	entry.OK = err == nil
	if err != nil {
		p := problem.Of(err)
		entry.Detail = p.Code + ": " + p.Text
	}
	if err := a.keep(context.WithoutCancel(ctx), entry); err != nil {
		a.cfg.Log.Error("the outcome of an act is not in the audit log", "act", entry.Act, "object", entry.Object, "who", entry.Who, "err", err)
	}
}

// note writes that something was done or tried, where that needs no permission of the disk.
func (a *API) note(ctx context.Context, who caller, what, object string, err error) {
	a.conclude(ctx, newAudit(who, what, object), err)
}

func newAudit(who caller, what, object string) record.Audit {
	now := time.Now()
	return record.Audit{ID: ids.Record(now), At: now.UTC(), Who: who.Name, From: who.source, Act: what, Object: object}
}

func (a *API) keep(ctx context.Context, entry record.Audit) error {
	data, err := json.Marshal(entry)
	if err != nil {
		return err
	}
	_, err = a.cfg.Archive.Store(ctx, []record.Envelope{{ID: entry.ID, Kind: record.KindAudit, Version: record.Version, Data: data}})
	return err
}

// NoteProvisioned writes that a phone took the settings of a user: by an address that an admin had
// made, or by its own hardware address, that an admin had bound.
func (a *API) NoteProvisioned(ctx context.Context, u ctl.User, f provision.Fetch) error {
	entry := newAudit(caller{source: f.Source}, "user.provisioned", u.Name+" ("+u.ID+")")
	detail := strings.ToValidUTF8(f.Agent, "?")
	if f.MAC != "" {
		detail = strings.TrimSpace(f.MAC + " " + detail)
	}
	if f.Plain {
		detail = "over HTTP, unprotected: " + detail
	}
	entry.Who, entry.Detail, entry.OK = u.Name, firstWords(detail), true
	return a.keep(ctx, entry)
}

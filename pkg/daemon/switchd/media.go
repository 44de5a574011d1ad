package switchd

import (
	"net/http"

	"github.com/coraltele/sanchar/pkg/base/slogx"
	"github.com/coraltele/sanchar/pkg/pbx/account"
	"github.com/coraltele/sanchar/pkg/pbx/mediapolicy"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// openMedia opens what is decided about media.
func (d *Daemon) openMedia() (err error) {
	known := func(name string) bool {
		a := d.users.Lookup(name)
		return a != nil && a.Name == name
	}
	d.mediaPolicy, err = mediapolicy.Open(d.cfg.file("media.json"), known, slogx.Part(d.log, "media"))
	if err != nil {
		return err
	}
	return d.openReach()
}

// mediaRules are those of a user; of one who was removed meanwhile, the site's.
func (d *Daemon) mediaRules(userID string) ctl.MediaRules {
	name := ""
	if a := d.users.ByID(userID); a != nil {
		name = a.Name
	}
	if account.IsProbe(name) {
		return d.mediaPolicy.Plain()
	}
	return d.mediaPolicy.Rules(name)
}

func (d *Daemon) mediaRoutes(mux *http.ServeMux) {
	ctl.Handle(mux, "GET /v1/media/policy", func(*http.Request, ctl.None) (ctl.MediaPolicyState, error) { return d.mediaPolicy.Load(), nil })
	ctl.Handle(mux, "PUT /v1/media/policy", func(r *http.Request, in ctl.MediaPolicyChange) (ctl.MediaPolicyState, error) {
		st, err := d.mediaPolicy.Save(in)
		if err == nil {
			d.tellReach(r.Context())
		}
		return st, err
	})
	ctl.Handle(mux, "POST /v1/media/credentials", d.credentials)
}

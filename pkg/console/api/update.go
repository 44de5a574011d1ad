package api

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// UpdatePath is where updates are sent to; they are longer than what else may be sent.
const UpdatePath = Prefix + "/update"

// silence is how long an update that comes may stand still.
const silence = 60 * time.Second

// Updates bring the box to another version.
type Updates interface {
	State(ctx context.Context) ctl.UpdateState
	// Receive writes an update that comes and returns its version. The box restarts when calls are over.
	Receive(ctx context.Context, bundle io.Reader, o ctl.UpdateFile) (version string, err error)
	Restart(ctx context.Context, by string, reset bool) error
	// Adopt restarts the box with the data of another box as its own.
	Adopt(ctx context.Context, by string) error
}

type updateOutput struct{ Body ctl.UpdateState }

// upload is the body of a request that is read as it comes.
type upload struct {
	Wait      int  `query:"wait" minimum:"0" maximum:"28800" doc:"seconds that the restart waits for calls to end; new ones are refused meanwhile"`
	Downgrade bool `query:"downgrade" doc:"an older version is asked for on purpose"`

	body io.Reader
}

// Resolve takes the body before anybody reads it whole.
func (u *upload) Resolve(ctx huma.Context) []error {
	r, w := humago.Unwrap(ctx)
	u.body = steady{r.Body, http.NewResponseController(w)}
	return nil
}

// steady lets a body take as long as it comes at all.
type steady struct {
	io.Reader
	rc *http.ResponseController
}

func (s steady) Read(p []byte) (int, error) {
	end := time.Now().Add(silence)
	if err := s.rc.SetReadDeadline(end); err != nil {
		return 0, err
	}
	if err := s.rc.SetWriteDeadline(end); err != nil { // of the answer that follows
		return 0, err
	}
	return s.Reader.Read(p)
}

func (a *API) updateOperations() {
	register(a, get("get-update", "/update", "The version that runs, and how an update stands"), func(ctx context.Context, _ caller, _ *struct{}) (*updateOutput, error) {
		return &updateOutput{a.cfg.Updates.State(ctx)}, nil
	})

	op := with(http.MethodPost, get("send-update", "/update", "Install an update, which is the request's body; the box restarts when calls are over"))
	op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		"application/octet-stream": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
	}}
	op.SkipValidateBody = true
	register(a, op, func(ctx context.Context, who caller, in *upload) (*updateOutput, error) {
		err := a.act(ctx, who, "update.install", "", func(entry *record.Audit) (err error) {
			if err := ownersOnly(who); err != nil {
				return err
			}
			entry.Object, err = a.cfg.Updates.Receive(ctx, in.body, ctl.UpdateFile{
				Wait: time.Duration(in.Wait) * time.Second, Downgrade: in.Downgrade, By: who.Name,
			})
			return err
		})
		return &updateOutput{a.cfg.Updates.State(ctx)}, err
	})

	type restartInput struct {
		Body struct {
			Reset bool `json:"reset,omitempty" doc:"erase all settings, records, recordings and messages: the box is as it was delivered"`
			Adopt bool `json:"adopt,omitempty" doc:"use the data of another box that is on this one's disk"`
		}
	}
	op = with(http.MethodPost, get("restart", "/restart", "Restart the box at once; calls are cut"))
	register(a, op, func(ctx context.Context, who caller, in *restartInput) (*struct{}, error) {
		what := map[bool]string{true: "box.reset", false: "box.restart"}[in.Body.Reset]
		if in.Body.Adopt {
			what = "box.adopt"
		}
		return nil, a.act(ctx, who, what, "", func(*record.Audit) error {
			if err := ownersOnly(who); err != nil {
				return err
			}
			if in.Body.Adopt {
				return a.cfg.Updates.Adopt(ctx, who.Name)
			}
			return a.cfg.Updates.Restart(ctx, who.Name, in.Body.Reset)
		})
	})
}

func ownersOnly(who caller) error {
	if !who.ReadsContent() {
		return problem.New(problem.Denied, "update.role", "your role may not restart or update the box", "ask an owner")
	}
	return nil
}

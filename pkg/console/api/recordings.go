package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// Recordings are what was recorded of calls.
type Recordings interface {
	Get(ctx context.Context, id string) (record.Recording, error)
	Serve(w http.ResponseWriter, r *http.Request, rec record.Recording, save bool) error
	Erase(ctx context.Context, id, by string) (record.Recording, error)
}

const (
	// listenTime is how long a recording can be listened to after it was opened: a browser asks for
	// parts of it again and again.
	listenTime = 2 * time.Hour
	// maxTickets bounds what one admin could make us remember.
	maxTickets = 1000
	// ticketBytes is what a stranger would have to guess: 160 bits.
	ticketBytes = 20
)

// ticket lets who was written into the audit log fetch a recording's sound.
type ticket struct {
	who, recording string
	until          time.Time
}

type tickets struct {
	mu    sync.Mutex // guards what follows
	given map[string]ticket
}

func (t *tickets) give(who, recording string, now time.Time) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, k := range t.given {
		if !now.Before(k.until) {
			delete(t.given, id)
		}
	}
	if len(t.given) >= maxTickets {
		return "", problem.New(problem.Unavailable, "recording.busy", "too many recordings are open at this moment", "try again in an hour")
	}
	id := ids.Random(ticketBytes)
	t.given[id] = ticket{who, recording, now.Add(listenTime)}
	return id, nil
}

func (t *tickets) good(id, who, recording string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	k, ok := t.given[id]
	return ok && k.who == who && k.recording == recording && now.Before(k.until)
}

type recordingFilter struct {
	Window
	User   string `query:"user" doc:"either party's account"`
	Number string `query:"number" doc:"either party's number"`
	Call   string `query:"call" doc:"id of the call's record"`
	Why    string `query:"why" doc:"why it was recorded, as the record says"`
}

func (f *recordingFilter) ask() record.Query {
	return f.query(record.KindRecording, map[record.Field]string{
		record.FieldUser: f.User, record.FieldNumber: f.Number, record.FieldCall: f.Call, record.FieldWhy: f.Why,
	})
}

// Listening is how a recording can be heard.
type Listening struct {
	Address string    `json:"address" doc:"of the sound, below /api/v1; parts of it can be asked for"`
	Until   time.Time `json:"until" doc:"the address is good until then, for who asked for it"`
}

type recordingInput struct {
	ID string `path:"id" maxLength:"64"`
}

func (a *API) recordingOperations() {
	recordsOf[record.Recording, recordingFilter](a, record.KindRecording, "recordings", "Recordings of calls")

	type listenInput struct {
		ID   string `path:"id" maxLength:"64"`
		Body struct {
			Reason string `json:"reason" maxLength:"200" doc:"why it is listened to; it stands in the audit log"`
		}
	}
	type listenOutput struct{ Body Listening }
	op := with(http.MethodPost, get("listen-to-recording", "/recordings/{id}/listen", "Open the sound of a recording; that it was opened stands in the audit log"))
	register(a, op, func(ctx context.Context, who caller, in *listenInput) (*listenOutput, error) {
		rec, err := a.cfg.Sounds.Get(ctx, in.ID)
		if err != nil {
			a.note(ctx, who, "recording.listen", in.ID, err)
			return nil, err
		}
		if err := a.reading(ctx, who, "recording.listen", recordingNamed(rec), "", in.Body.Reason); err != nil {
			return nil, err
		}
		now := time.Now()
		id, err := a.play.give(who.Name, rec.ID, now)
		return &listenOutput{Listening{Address: "/recordings/" + rec.ID + "/sound?ticket=" + id, Until: now.Add(listenTime).UTC()}}, err
	})
	a.soundOperation()
	a.recordingPolicyOperations()

	type eraseOutput struct{ Body record.Recording }
	op = with(http.MethodDelete, get("erase-recording", "/recordings/{id}", "Erase the sound of a recording; its record stays and tells who did it"))
	register(a, op, func(ctx context.Context, who caller, in *recordingInput) (*eraseOutput, error) {
		out := &eraseOutput{}
		err := a.act(ctx, who, "recording.erase", in.ID, func(entry *record.Audit) error {
			if !who.ReadsContent() {
				return problem.New(problem.Denied, "recording.role", "your role may not erase recordings", "ask an owner")
			}
			rec, err := a.cfg.Sounds.Erase(ctx, in.ID, who.Name)
			if err == nil {
				entry.Object = recordingNamed(rec)
			}
			out.Body = rec
			return err
		})
		return out, err
	})
}

func recordingNamed(r record.Recording) string {
	return fmt.Sprintf("%s and %s, %s (%s)", nameOf(r.Caller), nameOf(r.Callee), r.Start.UTC().Format(time.RFC3339), r.ID)
}

// nameOf is how the audit log calls a party.
func nameOf(p record.Party) string { return cmp.Or(p.User, p.Number, p.AoR, "?") }

func (a *API) soundOperation() {
	type soundInput struct {
		ID     string `path:"id" maxLength:"64"`
		Ticket string `query:"ticket" maxLength:"64" doc:"of the answer to listen-to-recording"`
		Save   bool   `query:"save" doc:"as a file to be saved"`
	}
	op := get("get-recording-sound", "/recordings/{id}/sound", "The sound of a recording that was opened")
	op.Responses = fileResponse("audio/ogg")
	register(a, op, func(ctx context.Context, who caller, in *soundInput) (*huma.StreamResponse, error) {
		if !a.play.good(in.Ticket, who.Name, in.ID, time.Now()) {
			return nil, problem.New(problem.Denied, "recording.ticket", "this recording is not open, or no more", "open it first: POST /recordings/"+in.ID+"/listen")
		}
		rec, err := a.cfg.Sounds.Get(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return &huma.StreamResponse{Body: func(hctx huma.Context) {
			r, w := humago.Unwrap(hctx)
			if err := a.cfg.Sounds.Serve(patient{w, http.NewResponseController(w)}, r, rec, in.Save); err != nil {
				ctl.WriteProblem(w, err)
			}
		}}, nil
	})
}

package api

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/coraltele/sanchar/pkg/console/events"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// heartbeat keeps the stream alive through whatever stands between, and finds a browser that went.
const heartbeat = 15 * time.Second

func (a *API) eventOperations() {
	op := get("get-events", "/events", "What happens, as server-sent events; after a break fetch the lists anew")
	op.Responses = a.eventResponse()
	register(a, op, func(_ context.Context, who caller, _ *struct{}) (*huma.StreamResponse, error) {
		client, err := a.cfg.Hub.Subscribe()
		if err != nil {
			return nil, err
		}
		return &huma.StreamResponse{Body: func(hctx huma.Context) {
			defer client.Close()
			r, w := humago.Unwrap(hctx)
			w.Header().Set("Content-Type", "text/event-stream")
			_ = stream(r.Context(), patient{w, http.NewResponseController(w)}, client, who.Ended()) // the page went away
		}}, nil
	})
}

// stream writes events until the page goes, falls behind, or its sign-in ends. That the page is
// open does not keep the sign-in alive.
func stream(ctx context.Context, w patient, client *events.Client, ended <-chan struct{}) error {
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	if _, err := fmt.Fprint(w, "retry: 2000\n\n"); err != nil {
		return err
	}
	for {
		if err := w.rc.Flush(); err != nil {
			return err
		}
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-ended:
			return nil
		case <-tick.C:
			_, err = fmt.Fprint(w, ": alive\n\n")
		case ev, open := <-client.Events():
			if !open {
				return nil
			}
			_, err = fmt.Fprintf(w, "event: %s\ndata: %s\n\n", ev.Name, ev.Data)
		}
		if err != nil {
			return err
		}
	}
}

// eventResponse describes each event's data, for those who make types of it.
func (a *API) eventResponse() map[string]*huma.Response {
	var kinds []*huma.Schema
	for _, e := range []struct {
		name string
		data reflect.Type
	}{
		{events.Registered, reflect.TypeFor[ctl.Registration]()},
		{events.Unregistered, reflect.TypeFor[ctl.Registration]()},
		{events.Presence, reflect.TypeFor[events.UserPresence]()},
		{events.Call, reflect.TypeFor[ctl.LiveCall]()},
		{events.CallEnded, reflect.TypeFor[events.Ended]()},
		{events.UserChanged, reflect.TypeFor[events.Ended]()},
		{events.Changed, reflect.TypeFor[events.Overview]()},
		{events.Recorded, reflect.TypeFor[events.Record]()},
		{events.AlarmChanged, reflect.TypeFor[events.AlarmChange]()},
		{events.UpdateMoved, reflect.TypeFor[events.Ended]()},
	} {
		kinds = append(kinds, &huma.Schema{
			Title: "Event " + e.name, Type: huma.TypeObject, Required: []string{"event", "data"},
			Properties: map[string]*huma.Schema{
				"event": {Type: huma.TypeString, Enum: []any{e.name}},
				"data":  a.huma.OpenAPI().Components.Schemas.Schema(e.data, true, e.name),
			},
		})
	}
	return map[string]*huma.Response{"200": {Description: "events", Content: map[string]*huma.MediaType{
		"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{OneOf: kinds}}},
	}}}
}

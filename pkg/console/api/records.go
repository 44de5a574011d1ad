package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/coraltele/sanchar/pkg/record"
)

// RecordList is a page of records, newest first.
type RecordList[T any] struct {
	Records []T    `json:"records"`
	Next    string `json:"next,omitempty" doc:"send it as before for the next page. A page may be short and still have a next one: a search pauses now and then"`
}

// Window is what a query of any kind has.
type Window struct {
	From   time.Time `query:"from" doc:"not before this time"`
	To     time.Time `query:"to" doc:"before this time"`
	Text   string    `query:"text" maxLength:"200" doc:"a part of any value"`
	Before string    `query:"before" maxLength:"64" doc:"next of the page before"`
	Limit  int       `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

func (w Window) query(kind record.Kind, match map[record.Field]string) record.Query {
	q := record.Query{Kind: kind, From: w.From, To: w.To, Text: w.Text, Before: w.Before, Limit: w.Limit, Match: map[record.Field]string{}}
	for f, v := range match {
		if v != "" {
			q.Match[f] = v
		}
	}
	return q
}

// asks is a query's parameters as huma reads them.
type asks interface{ ask() record.Query }

type callFilter struct {
	Window
	User   string `query:"user" doc:"either party's account"`
	Number string `query:"number" doc:"either party's number, or as dialed"`
	CallID string `query:"call_id" doc:"SIP Call-ID of any leg"`
	Status string `query:"status" enum:"answered,busy,declined,cancelled,no answer,offline,failed"`
}

func (f *callFilter) ask() record.Query {
	return f.query(record.KindCall, map[record.Field]string{
		record.FieldUser: f.User, record.FieldNumber: f.Number, record.FieldCallID: f.CallID, record.FieldStatus: f.Status,
	})
}

type registrationFilter struct {
	Window
	User     string `query:"user"`
	AoR      string `query:"aor"`
	Source   string `query:"source" doc:"IP address"`
	Instance string `query:"instance" doc:"+sip.instance of the device"`
	Result   string `query:"result" enum:"registered,unregistered,expired,removed,moved"`
	CallID   string `query:"call_id"`
}

func (f *registrationFilter) ask() record.Query {
	return f.query(record.KindRegistration, map[record.Field]string{
		record.FieldUser: f.User, record.FieldAoR: f.AoR, record.FieldSource: f.Source,
		record.FieldInstance: f.Instance, record.FieldResult: f.Result, record.FieldCallID: f.CallID,
	})
}

type failureFilter struct {
	Window
	Source string `query:"source" doc:"IP address"`
	User   string `query:"user" doc:"user name that was claimed"`
	Reason string `query:"reason"`
}

func (f *failureFilter) ask() record.Query {
	return f.query(record.KindAuthFailure, map[record.Field]string{
		record.FieldSource: f.Source, record.FieldUser: f.User, record.FieldReason: f.Reason,
	})
}

type auditFilter struct {
	Window
	Who string `query:"who" doc:"name of the admin or of the API token"`
	Act string `query:"act" example:"user.add"`
}

func (f *auditFilter) ask() record.Query {
	return f.query(record.KindAudit, map[record.Field]string{record.FieldWho: f.Who, record.FieldAct: f.Act})
}

func (a *API) recordOperations() {
	recordsOf[record.Call, callFilter](a, record.KindCall, "calls", "Calls of the past")
	recordsOf[record.Registration, registrationFilter](a, record.KindRegistration, "registrations", "Stays of devices")
	recordsOf[record.AuthFailure, failureFilter](a, record.KindAuthFailure, "auth-failures", "Failed authentications")
	recordsOf[record.Audit, auditFilter](a, record.KindAudit, "audit", "Acts of admins")
}

// recordsOf adds the operations of one kind: a page, one record, two exports.
func recordsOf[T, F any, PF interface {
	*F
	asks
}](a *API, kind record.Kind, name, summary string,
) {
	type listOutput struct{ Body RecordList[T] }
	one := strings.TrimSuffix(name, "s") + "-record"
	register(a, get("list-"+one+"s", "/records/"+name, summary), func(ctx context.Context, who caller, in *F) (*listOutput, error) {
		q := PF(in).ask()
		if err := a.auditRead(ctx, who, kind, q); err != nil {
			return nil, err
		}
		page, err := a.cfg.Archive.Find(ctx, q)
		if err != nil {
			return nil, err
		}
		out := &listOutput{RecordList[T]{Next: page.Next, Records: make([]T, len(page.Records))}}
		for i, e := range page.Records {
			if err := decode(e, &out.Body.Records[i]); err != nil {
				return nil, err
			}
		}
		return out, nil
	})

	type oneInput struct {
		ID string `path:"id"`
	}
	type oneOutput struct{ Body T }
	register(a, get("get-"+one, "/records/"+name+"/{id}", "One of: "+summary), func(ctx context.Context, who caller, in *oneInput) (*oneOutput, error) {
		if err := a.auditRead(ctx, who, kind, record.Query{Text: in.ID}); err != nil {
			return nil, err
		}
		e, err := a.cfg.Archive.Get(ctx, kind, in.ID)
		if err != nil {
			return nil, err
		}
		out := &oneOutput{}
		return out, decode(e, &out.Body)
	})
	exportOf[F, PF](a, kind, name, format{"csv", "text/csv; charset=utf-8", Archive.ExportCSV})
	exportOf[F, PF](a, kind, name, format{"json", "application/jsonl", Archive.ExportJSON})
}

func decode(e record.Envelope, v any) error {
	if err := json.Unmarshal(e.Data, v); err != nil {
		return fmt.Errorf("record %s: %w", e.ID, err)
	}
	if c, ok := v.(*record.Call); ok && c.Legs == nil { // a list is never null
		c.Legs = []record.Leg{}
	}
	if r, ok := v.(*record.Recording); ok {
		*r = r.At(time.Now())
	}
	return nil
}

// auditRead notes who reads the audit log itself.
func (a *API) auditRead(ctx context.Context, who caller, kind record.Kind, q record.Query) error {
	if kind != record.KindAudit {
		return nil
	}
	return a.act(ctx, who, "audit.read", "", func(entry *record.Audit) error {
		entry.Detail = inWords(q)
		return nil
	})
}

// format is a way to write records to a file.
type format struct {
	name, contentType string
	write             func(Archive, context.Context, io.Writer, record.Query) error
}

func exportOf[F any, PF interface {
	*F
	asks
}](a *API, kind record.Kind, name string, as format,
) {
	op := get("export-"+strings.TrimSuffix(name, "s")+"-records-"+as.name, "/records/"+name+"/export."+as.name, "All of the records that a query finds, as "+strings.ToUpper(as.name))
	op.Responses = fileResponse(as.contentType)
	register(a, op, func(ctx context.Context, who caller, in *F) (*huma.StreamResponse, error) {
		q := PF(in).ask()
		check := q
		check.Limit = 1
		if _, err := a.cfg.Archive.Find(ctx, check); err != nil { // a wrong query is told before a file is begun
			return nil, err
		}
		err := a.act(ctx, who, name+".export", as.name, func(entry *record.Audit) error {
			entry.Detail = inWords(q)
			return nil
		})
		if err != nil {
			return nil, err
		}
		return a.downloadRecords(ctx, name, as, q), nil
	})
}

// inWords tells the audit log what was asked for.
func inWords(q record.Query) string {
	var words []string
	add := func(name, value string) {
		if value != "" {
			words = append(words, name+"="+value)
		}
	}
	if !q.From.IsZero() {
		add("from", q.From.UTC().Format(time.RFC3339))
	}
	if !q.To.IsZero() {
		add("to", q.To.UTC().Format(time.RFC3339))
	}
	for _, f := range q.Kind.Fields() {
		add(string(f), q.Match[f])
	}
	add("text", q.Text)
	add("words", q.Words)
	if q.Content {
		add("content", "true")
	}
	add("before", q.Before)
	return strings.Join(words, " ")
}

// writeTimeout bounds a client that does not read its file or its events.
const writeTimeout = 30 * time.Second

// download streams a file. What fails after its beginning cuts the connection, so that nobody
// takes a part for the whole.
func (a *API) download(name, contentType string, write func(w http.ResponseWriter) error) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		_, w := humago.Unwrap(hctx)
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
		if err := write(patient{w, http.NewResponseController(w)}); err != nil {
			a.cfg.Log.Warn("a download broke off", "file", name, "err", err)
			panic(http.ErrAbortHandler)
		}
	}}
}

// patient gives each write its own time: a long file may take as long as it is read.
type patient struct {
	http.ResponseWriter
	rc *http.ResponseController
}

func (p patient) Write(b []byte) (int, error) {
	if err := p.rc.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return p.ResponseWriter.Write(b)
}

func fileResponse(contentType string) map[string]*huma.Response {
	kind, _, _ := strings.Cut(contentType, ";")
	return map[string]*huma.Response{"200": {Description: "a file", Content: map[string]*huma.MediaType{
		kind: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
	}}}
}

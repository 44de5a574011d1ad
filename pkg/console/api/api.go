// Package api is the box's one public interface, /api/v1: what the page uses, and what scripts may.
package api

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/console/auth"
	"github.com/coraltele/sanchar/pkg/console/events"
	"github.com/coraltele/sanchar/pkg/console/provision"
	"github.com/coraltele/sanchar/pkg/platform/conf"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// Prefix is where the API is.
const Prefix = "/api/v1"

// Switch is what the API asks of switchd.
type Switch interface {
	Status(ctx context.Context) (ctl.SwitchStatus, error)
	SetDomain(ctx context.Context, d ctl.Domain) error
	Users(ctx context.Context, q ctl.UserQuery) (ctl.UserPage, error)
	User(ctx context.Context, id string) (ctl.User, error)
	AddUser(ctx context.Context, in ctl.NewUser) (ctl.UserWithSecret, error)
	ChangeUser(ctx context.Context, id string, revision uint64, in ctl.UserSpec) (ctl.User, error)
	RemoveUser(ctx context.Context, id string) error
	ResetSecret(ctx context.Context, id string, in ctl.Secret) (ctl.UserWithSecret, error)
	ImportUsers(ctx context.Context, csv io.Reader) (ctl.ImportResult, error)
	CheckUsers(ctx context.Context, csv io.Reader) (ctl.ImportResult, error)
	Registrations(ctx context.Context) ([]ctl.Registration, error)
	Calls(ctx context.Context) ([]ctl.LiveCall, error)
	HangUp(ctx context.Context, id, by string) error
	LiftBan(ctx context.Context, source string) error
	CA(ctx context.Context) (ctl.Certificate, error)
	SendMessage(ctx context.Context, in ctl.NewMessage) (ctl.SentMessage, error)
	PushSettings(ctx context.Context) (ctl.PushSettings, error)
	SetPushSettings(ctx context.Context, in ctl.PushSettings) error
	MediaPolicy(ctx context.Context) (ctl.MediaPolicyState, error)
	SetMediaPolicy(ctx context.Context, in ctl.MediaPolicyChange) (ctl.MediaPolicyState, error)
	RecordingSettings(ctx context.Context) (ctl.RecordingSettings, error)
	SetRecordingPolicy(ctx context.Context, p ctl.RecordingPolicy, was uint64, who string) error
	RecordCall(ctx context.Context, id, do, by string) error
}

// Hooks tell other systems of messages.
type Hooks interface {
	List(ctx context.Context) ([]ctl.Hook, error)
	Get(ctx context.Context, id string) (ctl.Hook, error)
	Add(ctx context.Context, spec ctl.HookSpec, by string) (h ctl.Hook, secret string, err error)
	Change(ctx context.Context, id string, revision uint64, spec ctl.HookSpec) (ctl.Hook, error)
	Rotate(id string) (secret string, err error)
	Remove(id string) error
	Test(ctx context.Context, id string) (ctl.HookResult, error)
	Resume(ctx context.Context, id, skip string) (ctl.Hook, error)
}

// Links knows the network interfaces.
type Links interface {
	Links(ctx context.Context) ([]ctl.Link, error)
}

// Archive holds the records.
type Archive interface {
	Store(ctx context.Context, batch []record.Envelope) (changed int, err error)
	Find(ctx context.Context, q record.Query) (record.Page, error)
	Get(ctx context.Context, kind record.Kind, id string) (record.Envelope, error)
	Threads(ctx context.Context, q record.ThreadQuery) (record.ThreadPage, error)
	ExportCSV(ctx context.Context, w io.Writer, q record.Query) error
	ExportJSON(ctx context.Context, w io.Writer, q record.Query) error
}

// Config names those who do the work.
type Config struct {
	Auth      *auth.Auth
	Hub       *events.Hub
	Provision *provision.Provision
	Switch    Switch
	Links     Links
	Network   Network
	// NetworkType is the type of the network document, for the API's description; nil leaves it out.
	NetworkType reflect.Type
	Diagnosis   Diagnosis
	Archive     Archive
	Hooks       Hooks
	Files       Files
	Sounds      Recordings
	Updates     Updates
	Policy      *conf.File[record.Policy] // of what the archive keeps
	PageBuilt   bool                      // the program holds the page
	Bind        string                    // address of the page; "" is every address
	Version     string
	Log         *slog.Logger
}

// API serves /api/v1.
type API struct {
	cfg  Config
	mux  *http.ServeMux
	huma huma.API
	sent sendings
	play tickets
}

// New returns the API.
func New(cfg Config) *API {
	a := &API{cfg: cfg, mux: http.NewServeMux(), sent: sendings{last: map[string]time.Time{}}, play: tickets{given: map[string]ticket{}}}
	a.huma = humago.NewWithPrefix(a.mux, Prefix, a.describe())
	a.huma.UseMiddleware(a.identify)
	a.setupOperations()
	a.sessionOperations()
	a.tokenOperations()
	a.userOperations()
	a.secretOperations()
	a.deskPhoneOperations()
	a.importOperations()
	a.liveOperations()
	a.diagnosisOperations()
	a.recordOperations()
	a.recordingOperations()
	a.fileOperations()
	a.pushOperations()
	a.mediaOperations()
	a.messageOperations()
	a.threadOperations()
	a.sendOperation()
	a.hookOperations()
	a.policyOperations()
	a.networkOperations()
	a.banOperation()
	a.networkDocument()
	a.updateOperations()
	a.eventOperations()
	a.documentOperation()
	a.hookDocument()
	a.finishDocument()
	a.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		ctl.WriteProblem(w, problem.New(problem.Missing, "api.path", "there is no such resource, or it has no such method", "see "+Prefix+"/openapi.json"))
	})
	return a
}

func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// describe returns what the API's document says of it as a whole. Nothing of it is loaded from
// elsewhere: no page of documentation, no schema.
func (a *API) describe() huma.Config {
	formats := map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat}
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info:    &huma.Info{Title: "Sanchar", Version: a.cfg.Version, Description: description},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", schemaName),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"token":  {Type: "http", Scheme: "bearer", Description: "an API token"},
					"cookie": {Type: "apiKey", In: "cookie", Name: auth.CookieName, Description: "as POST /session sets it"},
				},
			},
			Security: []map[string][]string{{"token": {}}, {"cookie": {}}},
		},
		Formats: formats, DefaultFormat: "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{a.toProblem},
	}
}

const description = "The box's interface for its page and for scripts. A refusal is a problem: kind, stable code, text, cure, " +
	"and each wrong field with its value, the rule it breaks and how to put it right. Times are RFC 3339, durations nanoseconds."

// schemaName keeps records and parts of the network document apart from other things of the same name.
func schemaName(t reflect.Type, hint string) string {
	if t == reflect.TypeFor[problem.Error]() {
		return "Problem"
	}
	name := huma.DefaultSchemaNamer(t, hint)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if strings.HasSuffix(t.PkgPath(), "/network/netcfg") {
		return "Network" + name
	}
	if strings.HasSuffix(t.PkgPath(), "/pkg/record") && !strings.HasSuffix(name, "Record") {
		return name + "Record"
	}
	return name
}

// caller is who asks and from where.
type caller struct {
	auth.Identity
	source netip.Addr
	host   string // as the client reached us
}

type callerKey struct{}

// Marks of operations, in their metadata.
const (
	publicKey = "public" // it needs no identity
	senderKey = "sender" // who may only send messages may do it
)

// identify lets a request through to its operation if it is known who asks, or if none need be.
func (a *API) identify(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	w.Header().Set("Cache-Control", "no-store")
	who := caller{host: r.Host}
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		who.source = ap.Addr().Unmap()
	}
	id, err := a.cfg.Auth.Identify(r)
	if _, public := ctx.Operation().Metadata[publicKey]; err != nil && !public {
		ctl.WriteProblem(w, err)
		return
	}
	if _, sends := ctx.Operation().Metadata[senderKey]; err == nil && id.Role == auth.RoleSender && !sends {
		ctl.WriteProblem(w, problem.New(problem.Denied, "token.role", "this API token may send messages and nothing else", "use a token of role owner"))
		return
	}
	who.Identity = id
	next(huma.WithValue(ctx, callerKey{}, who))
}

// public is the metadata of an operation that needs no identity.
func public() map[string]any { return map[string]any{publicKey: true} }

// register adds an operation. Its errors become problems.
func register[I, O any](a *API, op huma.Operation, do func(ctx context.Context, who caller, in *I) (*O, error)) {
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	op.Responses["default"] = a.problemResponse()
	if _, open := op.Metadata[publicKey]; open {
		op.Security = []map[string][]string{}
	}
	op.Tags = []string{strings.SplitN(strings.TrimPrefix(op.Path, "/"), "/", 2)[0]}
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*O, error) {
		who, _ := ctx.Value(callerKey{}).(caller)
		out, err := do(ctx, who, in)
		if err != nil {
			return nil, a.failure(op.OperationID, err)
		}
		return out, nil
	})
}

// get, post and the like are short for an operation's usual fields.
func get(id, path, summary string) huma.Operation {
	return huma.Operation{OperationID: id, Method: http.MethodGet, Path: path, Summary: summary}
}

func with(method string, op huma.Operation) huma.Operation {
	op.Method = method
	return op
}

// finishDocument says what huma does not know: a list is never null, for we send an empty one or
// leave it out, and no answer has huma's own error.
func (a *API) finishDocument() {
	schemas := a.huma.OpenAPI().Components.Schemas.Map()
	delete(schemas, "ErrorModel")
	delete(schemas, "ErrorDetail")
	for _, s := range schemas {
		for _, field := range s.Properties {
			if field.Type == huma.TypeArray {
				field.Nullable = false
			}
		}
	}
}

// Document returns the OpenAPI description.
func (a *API) Document() ([]byte, error) { return json.MarshalIndent(a.huma.OpenAPI(), "", " ") }

func (a *API) documentOperation() {
	type output struct {
		ContentType string `header:"Content-Type"`
		Body        []byte
	}
	op := get("get-openapi", "/openapi.json", "This document")
	op.Hidden = true
	register(a, op, func(context.Context, caller, *struct{}) (*output, error) {
		doc, err := a.Document()
		return &output{ContentType: "application/openapi+json", Body: doc}, err
	})
}

package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/console/auth"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// failure is a problem as huma writes it: the problem's own JSON, a status, headers.
type failure struct {
	problem *problem.Error
	status  int
	header  http.Header
}

func (f *failure) Error() string                { return f.problem.Error() }
func (f *failure) MarshalJSON() ([]byte, error) { return json.Marshal(f.problem) }

// GetStatus, GetHeaders and ContentType are asked by huma.
func (f *failure) GetStatus() int            { return f.status }
func (f *failure) GetHeaders() http.Header   { return f.header }
func (f *failure) ContentType(string) string { return "application/problem+json" }

// failure makes err's public part an answer. What may not be told goes to the log.
func (a *API) failure(operation string, err error) error {
	p := problem.Of(err)
	f := &failure{problem: p, status: ctl.HTTPStatus(p.Kind), header: http.Header{}}
	if t := (*auth.Throttled)(nil); errors.As(err, &t) {
		f.status = http.StatusTooManyRequests
		f.header.Set("Retry-After", strconv.Itoa(int(t.Wait.Seconds())+1))
	}
	if p.Kind == problem.Internal {
		a.cfg.Log.Error("an API operation failed", "operation", operation, "err", err)
	}
	return f
}

func (a *API) problemResponse() *huma.Response {
	schema := a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[problem.Error](), true, "Problem")
	return &huma.Response{Description: "a problem", Content: map[string]*huma.MediaType{"application/problem+json": {Schema: schema}}}
}

// toProblem turns what huma itself finds wrong into a problem of the same shape as all others.
func (a *API) toProblem(_ huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	switch m.Status {
	case http.StatusRequestEntityTooLarge:
		return problem.New(problem.Invalid, "request.size", "the request is too long", "send less at once"), nil
	case http.StatusUnsupportedMediaType:
		return problem.New(problem.Invalid, "request.type", "the request is of a type that is not understood here", "send JSON, with Content-Type: application/json"), nil
	case http.StatusNotAcceptable:
		return problem.New(problem.Invalid, "request.accept", "there is no answer of the type that is accepted", "accept application/json"), nil
	case http.StatusRequestTimeout:
		return problem.New(problem.Invalid, "request.slow", "the request took too long to arrive", "send it again"), nil
	case http.StatusInternalServerError:
		a.cfg.Log.Error("an API operation failed", "err", m.Detail)
		return problem.Of(m), nil
	}
	faults := make([]problem.Fault, 0, len(m.Errors))
	for _, d := range m.Errors {
		faults = append(faults, fault(d))
	}
	if len(faults) == 0 {
		return problem.New(problem.Invalid, "request", m.Detail, "see the API's description"), nil
	}
	return problem.Fields("request", faults), nil
}

// fault translates what huma says of one value.
func fault(d *huma.ErrorDetail) problem.Fault {
	path := strings.TrimPrefix(d.Location, "body.")
	for _, part := range []string{"query.", "path.", "header.", "cookie."} {
		path = strings.TrimPrefix(path, part)
	}
	if path == "" { // a parameter without a name
		path = strings.Trim(d.Location, ".")
	}
	f := problem.Fault{Path: path, Value: shown(path, d.Value), Rule: strings.TrimPrefix(d.Message, "expected "), Cure: "give a value that keeps the rule"}
	var name string
	switch {
	case d.Location == "body" && matches(d.Message, "expected required property %s to be present", &name):
		f.Path, f.Value, f.Rule, f.Cure = name, "", "must be present", "add it"
	case strings.HasPrefix(d.Message, "expected required property"):
		_ = matches(d.Message, "expected required property %s to be present", &name)
		f.Path, f.Value, f.Rule, f.Cure = path+"."+name, "", "must be present", "add it"
	case strings.HasPrefix(d.Message, "required "):
		f.Rule, f.Cure = "must be present", "add it"
	case d.Message == "unexpected property", d.Message == "unknown query parameter":
		f.Rule, f.Cure = "no field of this name exists", "leave it out, or correct its name"
	case d.Location == "body":
		f.Path, f.Value, f.Rule, f.Cure = "body", "", "JSON that can be read: "+firstWords(d.Message), "correct the JSON"
	}
	return f
}

func matches(text, format string, name *string) bool {
	n, err := fmt.Sscanf(text, format, name)
	return n == 1 && err == nil
}

// firstWords keeps a message short that may quote what was sent.
func firstWords(s string) string {
	const most = 120
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

// shown writes a value that was refused; never a secret, and not at any length.
func shown(path string, v any) string {
	switch last := path[strings.LastIndexByte(path, '.')+1:]; last {
	case "password", "current", "new", "code", "ha1":
		return "(hidden)"
	}
	switch v := v.(type) {
	case nil:
		return ""
	case map[string]any: // of a body with a property too many: it may hold secrets
		return ""
	case string:
		return firstWords(v)
	}
	return firstWords(fmt.Sprint(v))
}

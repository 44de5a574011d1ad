package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/conf"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// Files are what users sent each other.
type Files interface {
	Policy() (ctl.FilePolicy, conf.Revision)
	SetPolicy(p ctl.FilePolicy, was uint64, who string) (conf.Revision, error)
	Usage() (ctl.FileUsage, error)
	Server(host string) string // address for phones that reach the box at host; "" when files are switched off
	Stat(id string) (ctl.StoredFile, error)
	Remove(id string) (ctl.StoredFile, error)
	Serve(w http.ResponseWriter, r *http.Request, id string) error
}

// FileSettings is the policy of files between users, as somebody left it.
type FileSettings struct {
	ctl.FilePolicy
	conf.Revision
}

type fileSettingsOutput struct {
	ETag string `header:"ETag" doc:"the revision: send it as If-Match with a change"`
	Body FileSettings
}

func (a *API) fileSettings() *fileSettingsOutput {
	p, rev := a.cfg.Files.Policy()
	return &fileSettingsOutput{ETag: etag(rev.Number), Body: FileSettings{p, rev}}
}

func (a *API) fileOperations() {
	register(a, get("get-file-settings", "/settings/files", "What users may send each other"), func(context.Context, caller, *struct{}) (*fileSettingsOutput, error) {
		return a.fileSettings(), nil
	})
	op := with(http.MethodPut, get("change-file-settings", "/settings/files", "Change what users may send each other; nobody else may have changed it meanwhile"))
	register(a, op, a.changeFileSettings)

	type usageOutput struct{ Body ctl.FileUsage }
	register(a, get("get-file-usage", "/files/usage", "What files between users take"), func(context.Context, caller, *struct{}) (*usageOutput, error) {
		u, err := a.cfg.Files.Usage()
		return &usageOutput{u}, err
	})
	op = get("read-file", "/files/{id}", "A file that a user sent; that it was read stands in the audit log")
	op.Responses = fileResponse("application/octet-stream")
	register(a, op, a.readFile)
	op = with(http.MethodDelete, get("remove-file", "/files/{id}", "Erase a file that a user sent"))
	register(a, op, func(ctx context.Context, who caller, in *fileInput) (*struct{}, error) {
		return nil, a.actOnFile(ctx, who, "file.remove", in.ID, func() error {
			_, err := a.cfg.Files.Remove(in.ID)
			return err
		})
	})
}

type fileInput struct {
	ID string `path:"id" maxLength:"64" doc:"the last part of the file's address"`
}

type fileReadInput struct {
	ID     string `path:"id" maxLength:"64" doc:"the last part of the file's address"`
	Reason string `query:"reason" maxLength:"200" doc:"why the file is read; it stands in the audit log"`
}

type fileSettingsInput struct {
	IfMatch string `header:"If-Match" doc:"ETag of the settings as they were read, or * for whatever they are now"`
	Body    ctl.FilePolicy
}

func (a *API) changeFileSettings(ctx context.Context, who caller, in *fileSettingsInput) (*fileSettingsOutput, error) {
	err := a.act(ctx, who, "settings.files", "", func(*record.Audit) error {
		_, rev := a.cfg.Files.Policy()
		was := rev.Number
		if in.IfMatch != "*" {
			var err error
			if was, err = strconv.ParseUint(strings.Trim(in.IfMatch, `"`), 10, 64); err != nil {
				return problem.Fields("request", []problem.Fault{{
					Path: "If-Match", Value: in.IfMatch, Rule: "the ETag of the settings as they were read, or *", Cure: "read the settings and send their ETag",
				}})
			}
		}
		_, err := a.cfg.Files.SetPolicy(in.Body, was, who.Name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return a.fileSettings(), nil
}

// actOnFile does something to a file; the audit log names whose file it is, not only its id.
func (a *API) actOnFile(ctx context.Context, who caller, what, id string, do func() error) error {
	return a.act(ctx, who, what, id, func(entry *record.Audit) error {
		f, err := a.cfg.Files.Stat(id)
		if err != nil {
			return err
		}
		entry.Object = fileNamed(f)
		return do()
	})
}

func fileNamed(f ctl.StoredFile) string { return f.Name + " of " + f.Owner + " (" + f.ID + ")" }

func (a *API) readFile(ctx context.Context, who caller, in *fileReadInput) (*huma.StreamResponse, error) {
	f, err := a.cfg.Files.Stat(in.ID)
	if err != nil {
		a.note(ctx, who, "file.read", in.ID, err)
		return nil, err
	}
	if err := a.reading(ctx, who, "file.read", fileNamed(f), "", in.Reason); err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		r, w := humago.Unwrap(hctx)
		if err := a.cfg.Files.Serve(w, r, in.ID); err != nil {
			ctl.WriteProblem(w, err)
		}
	}}, nil
}

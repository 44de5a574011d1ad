package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/coraltele/sanchar/pkg/platform/conf"
	"github.com/coraltele/sanchar/pkg/record"
)

// ArchivePolicy is what is kept of the past, and who said so.
type ArchivePolicy struct {
	record.Policy
	conf.Revision
}

type policyOutput struct {
	ETag string `header:"ETag" doc:"the revision: send it as If-Match with a change"`
	Body ArchivePolicy
}

func (a *API) policyOperations() {
	register(a, get("get-archive-policy", "/settings/archive", "What is kept of the past"), func(context.Context, caller, *struct{}) (*policyOutput, error) {
		return a.policyAnswer(), nil
	})

	type changeInput struct {
		IfMatch string `header:"If-Match" doc:"ETag of the policy as it was read, or * for whatever it is now"`
		Body    record.Policy
	}
	op := with(http.MethodPut, get("change-archive-policy", "/settings/archive", "Change what is kept of the past; nobody else may have changed it meanwhile"))
	register(a, op, func(ctx context.Context, who caller, in *changeInput) (*policyOutput, error) {
		err := a.act(ctx, who, "archive.policy", "", func(entry *record.Audit) error {
			_, now := a.cfg.Policy.Load()
			was, err := revision(now.Number, in.IfMatch)
			if err != nil {
				return err
			}
			entry.Detail = fmt.Sprintf("keep_days=%d recording_days=%d message_content=%s", in.Body.KeepDays, in.Body.RecordingDays, in.Body.MessageContent)
			_, err = a.cfg.Policy.Save(in.Body, was, who.Name)
			return err
		})
		return a.policyAnswer(), err
	})
}

func (a *API) policyAnswer() *policyOutput {
	policy, rev := a.cfg.Policy.Load()
	return &policyOutput{ETag: etag(rev.Number), Body: ArchivePolicy{policy, rev}}
}

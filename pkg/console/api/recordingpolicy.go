package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

type recordingPolicyOutput struct {
	ETag string `header:"ETag" doc:"the revision: send it as If-Match with a change"`
	Body ctl.RecordingSettings
}

func (a *API) recordingPolicy(ctx context.Context) (*recordingPolicyOutput, error) {
	p, err := a.cfg.Switch.RecordingSettings(ctx)
	for i := range p.Rules { // a list is never null
		r := &p.Rules[i]
		r.People, r.Numbers = append([]string{}, r.People...), append([]string{}, r.Numbers...)
	}
	p.Rules = append([]ctl.RecordingRule{}, p.Rules...)
	return &recordingPolicyOutput{ETag: etag(p.Revision), Body: p}, err
}

// recordingPolicyOperations are about which calls are recorded.
func (a *API) recordingPolicyOperations() {
	register(a, get("get-recording-policy", "/settings/recording", "Which calls are recorded"), func(ctx context.Context, _ caller, _ *struct{}) (*recordingPolicyOutput, error) {
		return a.recordingPolicy(ctx)
	})
	type changeInput struct {
		IfMatch string `header:"If-Match" doc:"ETag of the policy as it was read, or * for whatever it is now"`
		Body    ctl.RecordingPolicy
	}
	op := with(http.MethodPut, get("change-recording-policy", "/settings/recording", "Change which calls are recorded; nobody else may have changed it meanwhile"))
	register(a, op, func(ctx context.Context, who caller, in *changeInput) (*recordingPolicyOutput, error) {
		err := a.act(ctx, who, "settings.recording", "", func(entry *record.Audit) error {
			now, err := a.cfg.Switch.RecordingSettings(ctx)
			if err != nil {
				return err
			}
			was, err := revision(now.Revision, in.IfMatch)
			if err != nil {
				return err
			}
			var names []string
			for _, r := range in.Body.Rules {
				names = append(names, r.Name+"="+r.Record)
			}
			entry.Detail = strings.Join(names, " ")
			return a.cfg.Switch.SetRecordingPolicy(ctx, in.Body, was, who.Name)
		})
		if err != nil {
			return nil, err
		}
		return a.recordingPolicy(ctx)
	})

	type doInput struct {
		ID   string `path:"id" maxLength:"64"`
		Body struct {
			Do string `json:"do" enum:"start,pause,resume,stop"`
		}
	}
	op = with(http.MethodPost, get("record-call", "/calls/{id}/recording", "Begin, interrupt, go on with or end the recording of a call, as far as the rules allow it"))
	register(a, op, func(ctx context.Context, who caller, in *doInput) (*struct{}, error) {
		return nil, a.act(ctx, who, "call.record", in.ID, func(entry *record.Audit) error {
			entry.Detail = in.Body.Do
			return a.cfg.Switch.RecordCall(ctx, in.ID, in.Body.Do, who.Name)
		})
	})
}

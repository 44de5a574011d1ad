package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

type mediaPolicyOutput struct {
	ETag string `header:"ETag" doc:"the revision: send it as If-Match with a change"`
	Body ctl.MediaPolicyState
}

func mediaPolicyAnswer(st ctl.MediaPolicyState, err error) (*mediaPolicyOutput, error) {
	if err != nil {
		return nil, err
	}
	return &mediaPolicyOutput{ETag: etag(st.Number), Body: st}, nil
}

func (a *API) mediaOperations() {
	register(a, get("get-media-policy", "/media/policy", "How calls are encrypted, what way their media takes and what they are of"), func(ctx context.Context, _ caller, _ *struct{}) (*mediaPolicyOutput, error) {
		return mediaPolicyAnswer(a.cfg.Switch.MediaPolicy(ctx))
	})

	type changeInput struct {
		IfMatch string `header:"If-Match" doc:"ETag of the policy as it was read, or * for whatever it is now"`
		Body    ctl.MediaPolicy
	}
	op := with(http.MethodPut, get("change-media-policy", "/media/policy", "Change how calls are encrypted and what way their media takes; it holds for calls that come from now on"))
	register(a, op, func(ctx context.Context, who caller, in *changeInput) (*mediaPolicyOutput, error) {
		var st ctl.MediaPolicyState
		err := a.act(ctx, who, "media.policy", "", func(entry *record.Audit) error {
			now, err := a.cfg.Switch.MediaPolicy(ctx)
			if err != nil {
				return err
			}
			was, err := revision(now.Number, in.IfMatch)
			if err != nil {
				return err
			}
			entry.Detail = fmt.Sprintf("encryption=%s path=%s transcoding=%s video=%s zrtp=%s users=%d",
				in.Body.Site.Encryption, in.Body.Site.Path, in.Body.Site.Transcoding, in.Body.Site.Video, in.Body.Site.ZRTP, len(in.Body.Users))
			st, err = a.cfg.Switch.SetMediaPolicy(ctx, ctl.MediaPolicyChange{Policy: in.Body, Was: was, Who: who.Name})
			return err
		})
		return mediaPolicyAnswer(st, err)
	})
}

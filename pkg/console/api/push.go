package api

import (
	"context"
	"net/http"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

func (a *API) pushOperations() {
	type output struct{ Body ctl.PushSettings }
	register(a, get("get-push-settings", "/settings/push", "Who wakes sleeping devices; secrets are not shown"), func(ctx context.Context, _ caller, _ *struct{}) (*output, error) {
		p, err := a.cfg.Switch.PushSettings(ctx)
		return &output{p}, err
	})
	type input struct{ Body ctl.PushSettings }
	op := with(http.MethodPut, get("change-push-settings", "/settings/push", "Change who wakes sleeping devices"))
	register(a, op, func(ctx context.Context, who caller, in *input) (*output, error) {
		err := a.act(ctx, who, "settings.push", "", func(*record.Audit) error { return a.cfg.Switch.SetPushSettings(ctx, in.Body) })
		if err != nil {
			return nil, err
		}
		p, err := a.cfg.Switch.PushSettings(ctx)
		return &output{p}, err
	})
}

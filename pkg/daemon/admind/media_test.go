package admind

import (
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

func TestTheMediaPolicyIsChangedByOneAdminAtATime(t *testing.T) {
	t.Parallel()
	_, c := owned(t)
	set := m{"site": m{"encryption": "required", "kinds": []string{"sdes"}}, "users": m{"alice": m{"path": "direct"}}}
	c.api(200, "PUT", "/media/policy", set, nil, "If-Match", `"0"`)
	var got ctl.MediaPolicyState
	c.api(200, "GET", "/media/policy", nil, &got)
	if got.Site.Encryption != ctl.EncryptionRequired || got.Users["alice"].Path != ctl.PathDirect || got.Number != 1 || got.Who == "" {
		t.Errorf("%+v", got)
	}
	c.api(409, "PUT", "/media/policy", set, nil, "If-Match", `"0"`)
	set["site"] = m{"encryption": "maybe"}
	if a := c.api(422, "PUT", "/media/policy", set, nil, "If-Match", "*"); len(a.Faults) != 1 || a.Faults[0].Path != "site.encryption" {
		t.Errorf("%s", a.body)
	}
	log := c.audit("media.policy")
	if len(log) != 3 || log[0].OK || log[1].OK || !log[2].OK || !strings.Contains(log[2].Detail, "encryption=required") {
		t.Errorf("%+v", log)
	}
}

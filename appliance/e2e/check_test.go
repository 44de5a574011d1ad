package e2e

import (
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

func TestTheBoxChecksItselfWithACall(t *testing.T) {
	t.Parallel()
	s := open(t, "alice")
	if err := s.box.Admin().Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	users, err := s.box.Switch().Users(t.Context(), ctl.UserQuery{})
	if err != nil || users.Total != 1 || strings.HasPrefix(users.Users[0].Name, "sanchar-check") {
		t.Errorf("accounts of the check are left: %+v, %v", users, err)
	}
	policy, err := s.box.Switch().MediaPolicy(t.Context())
	if err != nil || len(policy.Users) != 0 {
		t.Errorf("rules of the check are left: %+v, %v", policy.Users, err)
	}
}

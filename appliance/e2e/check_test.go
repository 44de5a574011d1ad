package e2e

import (
	"testing"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
)

// TestTheBoxChecksItselfWithACall has the box call itself where the site demands encryption and records everything:
// the call goes through all the same, and nothing of it is left.
func TestTheBoxChecksItselfWithACall(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob")
	api := s.box.API(s.hosts["alice"])
	api.Record(ctl.RecordingRule{Name: "all", Side: ctl.SideAny, Record: ctl.RecordAlways, Notice: ctl.NoticeNone, Refused: "go on"})
	policy := ctl.MediaPolicy{Site: ctl.MediaRules{Encryption: ctl.EncryptionRequired}}
	was, err := s.box.Switch().SetMediaPolicy(t.Context(), ctl.MediaPolicyChange{Policy: policy, Who: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.box.Admin().Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	users, err := s.box.Switch().Users(t.Context(), ctl.UserQuery{})
	if err != nil || users.Total != 2 {
		t.Errorf("accounts of the check are left: %+v, %v", users, err)
	}
	if now, err := s.box.Switch().MediaPolicy(t.Context()); err != nil || now.Number != was.Number || len(now.Users) != 0 {
		t.Errorf("the check changed the policy: %+v, %v", now, err)
	}
	if regs, err := s.box.Switch().Registrations(t.Context()); err != nil || len(regs) != 0 {
		t.Errorf("%+v, %v", regs, err)
	}
	// Records come in their order: when this stay is there, those of the check would be.
	s.phone("bob", "tls")
	stays := boxtest.Await[record.Registration](api, "registrations", 1)
	if len(stays) != 1 || stays[0].User != "bob" {
		t.Errorf("%+v", stays)
	}
	if calls := boxtest.Records[record.Call](api, "calls", nil); len(calls) != 0 {
		t.Errorf("%+v", calls)
	}
	if recordings := boxtest.Records[record.Recording](api, "recordings", nil); len(recordings) != 0 {
		t.Errorf("%+v", recordings)
	}
}

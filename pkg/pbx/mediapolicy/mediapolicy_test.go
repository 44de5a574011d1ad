package mediapolicy

import (
	"encoding/json"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

func open(t *testing.T, path string) *Policy {
	t.Helper()
	p, err := Open(path, func(name string) bool { return name == "alice" || name == "bob" }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAUsersRulesComeBeforeTheSites(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "media.json")
	p := open(t, path)
	if got := p.Rules("alice"); !reflect.DeepEqual(got, site()) {
		t.Errorf("a new box: %+v", got)
	}
	policy := ctl.MediaPolicy{
		Site:  ctl.MediaRules{Encryption: ctl.EncryptionRequired, Kinds: []string{"sdes"}, VideoKbits: 2000},
		Users: map[string]ctl.MediaRules{"alice": {Encryption: ctl.EncryptionOff, Codecs: []string{"opus"}, Video: ctl.Off}},
	}
	st, err := p.Save(ctl.MediaPolicyChange{Policy: policy, Was: 0, Who: "root"})
	if err != nil || st.Number != 1 || st.Who != "root" {
		t.Fatalf("%+v %v", st, err)
	}
	p = open(t, path)
	bob := site()
	bob.Encryption, bob.Kinds, bob.VideoKbits = ctl.EncryptionRequired, []string{"sdes"}, 2000
	alice := bob
	alice.Encryption, alice.Codecs, alice.Video = ctl.EncryptionOff, []string{"opus"}, ctl.Off
	if got := p.Rules("bob"); !reflect.DeepEqual(got, bob) {
		t.Errorf("bob: %+v, want %+v", got, bob)
	}
	if got := p.Rules("alice"); !reflect.DeepEqual(got, alice) {
		t.Errorf("alice: %+v, want %+v", got, alice)
	}
	if _, err := p.Save(ctl.MediaPolicyChange{Policy: policy, Was: 0, Who: "other"}); !problem.Is(err, problem.Conflict) {
		t.Errorf("a change of what is old already: %v", err)
	}
}

func TestAllFaultsAreToldAtOnce(t *testing.T) {
	t.Parallel()
	p := open(t, filepath.Join(t.TempDir(), "media.json"))
	var policy ctl.MediaPolicy
	err := json.Unmarshal([]byte(`{"site":{"encryption":"maybe","kinds":["dtls","zrtp","dtls"],"suites":["NULL"],"path":"air","transcoding":"yes","video":"no","zrtp":"maybe","video_kbits":3},
		"users":{"alice":{"codecs":["opus","OPUS","a b",""]},"mallory":{}}}`), &policy)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Save(ctl.MediaPolicyChange{Policy: policy})
	if !problem.Is(err, problem.Invalid) {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range problem.Of(err).Faults {
		if f.Rule == "" || f.Cure == "" {
			t.Errorf("%+v", f)
		}
		paths = append(paths, f.Path)
	}
	for _, want := range strings.Fields("site.encryption site.kinds[1] site.kinds[2] site.suites[0] site.path site.transcoding site.video site.zrtp site.video_kbits " +
		"users.alice.codecs[1] users.alice.codecs[2] users.alice.codecs[3] users.mallory") {
		if !slices.Contains(paths, want) {
			t.Errorf("no fault at %s: %v", want, paths)
		}
	}
	policy = Default()
	policy.Site.Path = "air"
	if _, err := p.Save(ctl.MediaPolicyChange{Policy: policy}); !problem.Is(err, problem.Invalid) || len(problem.Of(err).Faults) != 1 {
		t.Errorf("%v", err)
	}
	if faults(Default()) != nil {
		t.Error("the default is wrong")
	}
}

package admind

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

func TestAMachineWithoutSlotsIsNotUpdated(t *testing.T) {
	t.Parallel()
	b, c := owned(t)
	var st ctl.UpdateState
	c.api(200, "GET", "/update", nil, &st)
	if st.Able || st.Version != "test" || st.Phase != ctl.UpdateIdle {
		t.Errorf("%+v", st)
	}
	var refusal struct{ Code, Cure string }
	c.api(503, "POST", "/update", "a file", &refusal, "Content-Type", "application/octet-stream")
	if refusal.Code != "update.machine" || refusal.Cure == "" {
		t.Errorf("%+v", refusal)
	}
	c.api(503, "POST", "/restart", m{"reset": true}, &refusal)
	if refusal.Code != "update.machine" {
		t.Errorf("%+v", refusal)
	}
	c.api(503, "POST", "/restart", m{"adopt": true}, &refusal)
	if refusal.Code != "update.machine" {
		t.Errorf("%+v", refusal)
	}
	c.api(422, "POST", "/update?wait=100000", "a file", nil, "Content-Type", "application/octet-stream")
	var log struct{ Records []record.Audit }
	c.api(200, "GET", "/records/audit", nil, &log)
	for _, act := range []string{"update.install", "box.reset", "box.adopt"} {
		if !slices.ContainsFunc(log.Records, func(a record.Audit) bool {
			return a.Act == act && !a.OK && strings.Contains(a.Detail, "update.machine")
		}) {
			t.Errorf("%s is not in the audit log: %+v", act, log.Records)
		}
	}
	if got := b.browser().do("POST", "/api/v1/update", "a file", "Content-Type", "application/octet-stream"); got.code != 401 {
		t.Errorf("a stranger: %d", got.code)
	}
}

func TestAnUpdateIsLargerThanOtherRequests(t *testing.T) {
	t.Parallel()
	_, c := owned(t)
	var refusal struct{ Code string }
	c.api(503, "POST", "/update", strings.Repeat("x", maxBody+1), &refusal, "Content-Type", "application/octet-stream")
	if refusal.Code != "update.machine" {
		t.Errorf("%+v", refusal)
	}
}

func TestWhatABoxInTroubleTells(t *testing.T) {
	t.Parallel()
	b, _ := owned(t)
	b.stop()
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	keys := "untrusted comment: development key\nRWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\n"
	if err := os.WriteFile(filepath.Join(root, keysFile), []byte(keys), 0o600); err != nil {
		t.Fatal(err)
	}
	b.cfg.Root, b.cfg.Trouble = root, "the data partition is not there"
	b.cfg.Cure = "look for it"
	b.run()
	admin := ctl.NewAdmin(b.cfg.socket("admin"))
	defer func() { _ = admin.Close() }()
	st, err := admin.Status(t.Context())
	if !slices.ContainsFunc(st.Alarms, func(a ctl.Alarm) bool { return a.Cure == "look for it" }) {
		t.Errorf("%+v", st.Alarms)
	}
	for _, code := range []string{"update.keys", "box.data"} {
		if !slices.ContainsFunc(st.Alarms, func(a ctl.Alarm) bool { return a.Code == code && a.Cure != "" }) {
			t.Errorf("no alarm %s: %+v, %v", code, st.Alarms, err)
		}
	}
}

func TestTheCommandLineIsToldWhatIsNotWell(t *testing.T) {
	t.Parallel()
	b, _ := owned(t)
	admin := ctl.NewAdmin(b.cfg.socket("admin"))
	defer func() { _ = admin.Close() }()
	// netd is a stand-in that does not know how the network is.
	if err := admin.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "network") {
		t.Errorf("%v", err)
	}
	if _, err := admin.InstallFile(t.Context(), ctl.UpdateFile{Path: filepath.Join(t.TempDir(), "none")}); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("%v", err)
	}
}

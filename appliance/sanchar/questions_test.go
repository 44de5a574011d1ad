package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/daemon/netd"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/notify"
	"github.com/coraltele/sanchar/pkg/testkit/fakeswitch"
)

// withSwitch runs a fake switchd with two users, a registration and two calls, and a real netd.
func withSwitch(t *testing.T) (dir string, sw *fakeswitch.Switch) {
	t.Helper()
	dir = t.TempDir()
	sw = fakeswitch.Start(t, filepath.Join(dir, "switch.sock"), "pbx.test")
	for _, args := range []string{"users add alice 101 --display-name Alice", "users add bob 102 103"} {
		if got := sanchar(t, "", append(strings.Fields(args), "--run", dir)...); got.status != 0 {
			t.Fatalf("%s: %+v", args, got)
		}
	}
	sw.Register(ctl.Registration{
		ID: "r1", User: "alice", AoR: "sip:alice@pbx.test", Contact: "sip:alice@192.0.2.7", Source: netip.MustParseAddrPort("192.0.2.7:5062"),
		Transport: "udp", UserAgent: "Evil\x1b[31mPhone", Registered: time.Now().Add(-90 * time.Second), Expires: time.Now().Add(time.Hour),
	})
	for _, id := range []string{"call-ab12", "call-ac34"} {
		sw.SetCall(ctl.LiveCall{
			ID: id, State: ctl.CallUp, Caller: ctl.LiveParty{User: "alice"}, Callee: ctl.LiveParty{Number: "102"}, Dialed: "102",
			Start: time.Now().Add(-26 * time.Hour), Answered: time.Now().Add(-65 * time.Minute), Codecs: []string{"opus"},
		})
	}
	return dir, sw
}

func withNet(t *testing.T, dir string) {
	t.Helper()
	d, err := netd.New(netd.Config{RunDir: dir, DataDir: filepath.Join(dir, "net"), Version: "1.2.3", Notify: &notify.Notifier{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	c := ctl.NewNet(filepath.Join(dir, "net.sock"))
	defer c.Close()
	links := errors.New("the first event has links")
	for err := error(nil); !errors.Is(err, links); {
		err = c.Events(t.Context(), func(ctl.NetEvent) error { return links })
	}
}

func TestQuestions(t *testing.T) {
	t.Parallel()
	dir, sw := withSwitch(t)
	withNet(t, dir)
	csv := filepath.Join(t.TempDir(), "users.csv")
	if err := os.WriteFile(csv, []byte("user,password,name\ncarol,correct horse 1,Carol\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   string
		stdin  string
		status int
		says   []string // on the output, or with a status on the error output
	}{
		{"users list", "", 0, []string{"NAME", "alice  101      Alice", "bob    102,103  -"}},
		{"users list 103", "", 0, []string{"bob"}},
		{"users list --json", "", 0, []string{`"name": "alice"`, `"revision": 1`}},
		{"users list nobody --json", "", 0, []string{"[]"}},
		{"users add alice", "", 1, []string{"sanchar: ", "name", "To do: "}},
		{"users add dave 105 --password-file -", "hunter22hunter22\nrest\n", 0, []string{"user    dave", "domain  pbx.test"}},
		{"users add erin --password-file -", "\n", 1, []string{"the first line of - is empty"}},
		{"users add erin --password-file /nowhere/pw", "", 1, []string{"/nowhere/pw: no such file"}},
		{"users disable bob", "", 0, []string{"user bob is disabled"}},
		{"users list bob", "", 0, []string{"disabled"}},
		{"users enable bob --json", "", 0, []string{`"disabled": false`}},
		{"users disable bobby", "", 1, []string{`there is no user "bobby"`, "To do: see the names with: sanchar users list"}},
		{"users reset-secret bob", "", 0, []string{"password  ", "(shown this once)"}},
		{"users remove bob", "", 0, []string{"user bob is removed"}},
		{"users remove bob", "", 1, []string{`there is no user "bob"`}},
		{"users import --check " + csv, "", 0, []string{"1 users added, 0 changed"}},
		{"users import " + csv, "", 0, []string{"1 users added, 0 changed"}},
		{"users import - --json", "user,password\ndora,correct horse 2\n", 0, []string{`"added": 1`}},
		{"users import /nowhere.csv", "", 1, []string{"/nowhere.csv: no such file"}},
		{"registrations", "", 0, []string{"sip:alice@pbx.test  192.0.2.7:5062  udp   1m30s", "Evil?[31mPhone"}},
		{"registrations --json", "", 0, []string{`"transport": "udp"`}},
		{"calls", "", 0, []string{"call-ab12  up     alice   102     102     1d2h   1h5m   opus"}},
		{"hangup call-a", "", 1, []string{`2 calls begin with "call-a"`, "give more of the id"}},
		{"hangup call-b", "", 1, []string{`there is no call "call-b"`}},
		{"hangup call-ab", "", 0, []string{"call call-ab12 of alice and 102 is ended"}},
		{"hangup call-ac34 --json", "", 0, []string{`"id": "call-ac34"`}},
		{"calls --json", "", 0, []string{"[]"}},
		{"chat keep", "", 0, []string{"a message waits 7 days for its recipient"}},
		{"chat keep 14", "", 0, []string{"a message waits 14 days for its recipient"}},
		{"chat keep --json", "", 0, []string{`"keep_days": 14`}},
		{"chat keep long", "", 2, []string{`"long" is no number of days`}},
		{"media policy encryption=required kinds=sdes,dtls video_kbits=2000", "", 0, []string{"site\n", "  encryption=required\n  kinds=sdes,dtls\n  video_kbits=2000\n"}},
		{"media policy --user alice path=direct codecs=opus codecs=", "", 0, []string{"user alice\n  path=direct\n"}},
		{"media policy video_kbits= kinds=", "", 0, []string{"site\n  encryption=required\nuser alice\n"}},
		{"media policy --json", "", 0, []string{`"encryption": "required"`, `"revision": 3`}},
		{"media policy encryption=maybe", "", 1, []string{"site.encryption", "To do: "}},
		{"media policy colour=red", "", 2, []string{`unknown field "colour"`}},
		{"media policy video_kbits=many", "", 2, []string{"video_kbits is a number"}},
		{"media policy path", "", 2, []string{`"path" is not NAME=VALUE`}},
		{"links", "", 0, []string{"lo ", "loopback", "127.0.0.1/8"}},
		{"links --json", "", 0, []string{`"name": "lo"`}},
		{"net show", "", 0, []string{"mode      plan-only", "revision  0, by -"}},
		{"net show --json", "", 0, []string{`"mode": "plan-only"`}},
		{"net plan -", `{"bridges":[{"name":"br0"}]}`, 0, []string{"Document:\n  bridges br0: added (name br0)", "  br0 will be made: a bridge"}},
		{"net plan -", `{"vlans":[{"parent":"eth0","id":5000}]}`, 1, []string{`vlans[0].id "5000": is from 1 to 4094. To do: `, `vlans[0].parent "eth0"`}},
		{"net plan -", `{"vlans":`, 1, []string{"is one JSON object"}},
		{"net plan /nowhere.json", "", 1, []string{"/nowhere.json: no such file"}},
		{"net apply -", `{"hostname":"pbx"}`, 1, []string{"netd manages no network here", "To do: start it with --manage"}},
		{"net set-address eth0 10.0.0.1/24", "", 1, []string{"the document has no zones"}},
		{"net set-address eth0", "", 2, []string{"net set-address needs LINK ADDRESS/LENGTH|dhcp [GATEWAY]"}},
		{"net confirm", "", 1, []string{"no change waits for a confirmation"}},
		{"net revert", "", 1, []string{"no change waits for a confirmation"}},
		{"net restore x", "", 2, []string{"needs the number of a revision"}},
		{"net restore 3", "", 1, []string{"there is no revision 3"}},
		{"net revisions --json", "", 0, []string{"[]"}},
		{"net leases", "", 0, []string{"ADDRESS", "RESERVED"}},
		{"net leases --json", "", 0, []string{`"leases": []`}},
		{"net neighbours --json", "", 0, []string{"[]"}},
		{"net services", "", 0, []string{"SERVICE"}},
		{"net ping --link nope 127.0.0.1", "", 1, []string{`link "nope": is a link of the box`, "To do: "}},
		{"net trace --link nope 127.0.0.1", "", 1, []string{`link "nope": is a link of the box`}},
		{"net diag --trunk a/b", "", 1, []string{`trunk "a/b"`, "write it as sip.provider.example"}},
		{"net capture lo tcp", "", 2, []string{"net capture needs --out FILE"}},
		{"net capture nope --out - port x", "", 1, []string{`link "nope"`, `filter "port x"`, "To do: use protocols"}},
		{"status", "", 1, []string{"mediad does not answer: there is no socket of it in " + dir, "To do: start it with sanchar dev"}},
	} {
		got := sanchar(t, c.stdin, append(strings.Fields(c.args), "--run", dir)...)
		text := got.out
		if c.status != 0 {
			text = got.err
		}
		for _, want := range c.says {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q is not in %+v", c.args, want, got)
			}
		}
		if got.status != c.status || c.status == 0 && got.err != "" {
			t.Errorf("%s: %+v, want status %d", c.args, got, c.status)
		}
	}
	var tree strings.Builder
	printDiagnosis(&tree, ctl.Diagnosis{Nodes: []ctl.DiagNode{
		{ID: "a", Name: "Cable", State: ctl.DiagOK, Evidence: "has a carrier"},
		{ID: "b", Parent: "a", Name: "Address", State: ctl.DiagFailed, Evidence: "none", Cure: "ask DHCP"},
	}})
	if want := "OK      Cable: has a carrier\n  FAILED  Address: none\n          To do: ask DHCP\n"; tree.String() != want {
		t.Errorf("the tree is\n%s", tree.String())
	}
	if by := sw.HungUp("call-ab12"); !strings.HasPrefix(by, "console:") {
		t.Errorf("hung up by %q", by)
	}
}

func TestStatusTellsWhoIsAway(t *testing.T) {
	t.Parallel()
	dir, sw := withSwitch(t)
	withNet(t, dir)
	sw.Raise(ctl.Alarm{Code: "disk.low", Text: "the disk is nearly full", Cure: "export and delete records"})
	got := sanchar(t, "", "status", "--run", dir)
	for _, want := range []string{
		"switchd  answers  fake", "domain pbx.test, 2 users, 1 registrations, 2 calls", "mediad   away", "admind   away", "netd     answers  1.2.3",
		"ALARM disk.low: the disk is nearly full. To do: export and delete records",
	} {
		if !strings.Contains(got.out, want) {
			t.Errorf("%q is not in\n%s", want, got.out)
		}
	}
	var st map[string]any
	if err := json.Unmarshal([]byte(sanchar(t, "", "status", "--json", "--run", dir).out), &st); err != nil {
		t.Fatal(err)
	}
	if st["switchd"] == nil || st["netd"] == nil || st["mediad"] != nil {
		t.Errorf("got %v", st)
	}
}

func TestManyUsersArePagedThrough(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fakeswitch.Start(t, filepath.Join(dir, "switch.sock"), "pbx.test")
	var csv strings.Builder
	csv.WriteString("user,password\n")
	const many = 2*usersPerPage + 3
	for i := range many {
		csv.WriteString("u" + strings.Repeat("x", i%7) + time.Duration(i).String() + ",correct horse 1\n")
	}
	if got := sanchar(t, csv.String(), "users", "import", "-", "--run", dir); got.status != 0 {
		t.Fatal(got)
	}
	var users []ctl.User
	if err := json.Unmarshal([]byte(sanchar(t, "", "users", "list", "--json", "--run", dir).out), &users); err != nil || len(users) != many {
		t.Errorf("%d users, %v", len(users), err)
	}
}

func TestTheFolderOfSocketsIsFound(t *testing.T) {
	t.Chdir(t.TempDir())
	if got := findRunDir("x"); got != "x" {
		t.Errorf("given x: %s", got)
	}
	if err := os.MkdirAll("var/run", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("var/run/switch.sock", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := findRunDir(""); got != "var/run" {
		t.Errorf("got %s", got)
	}
}

package e2e

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
	"github.com/coraltele/sanchar/pkg/testkit/sipp"
)

// The archive's daemon is away for a minute in which calls and registrations go on.
const (
	outage      = time.Minute
	outageCalls = 300
	outageRate  = 5 // calls a second: they take the minute
)

func TestAdmindIsAwayForAMinute(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t)
	callers, callees := lab.Host(t, "callers"), lab.Host(t, "callees")
	bin := filepath.Join(lab.Box.Dir, "bin")
	boxtest.CopyPrograms(t, bin)
	b := boxtest.Start(t, lab, boxtest.Config{Count: 2 * outageCalls, Bin: bin})
	var users, calls []string
	for i := range 2 * outageCalls {
		users = append(users, account(i, ""))
	}
	for i := range outageCalls {
		calls = append(calls, account(i, ";"+boxtest.User(outageCalls+i)))
	}
	giveBack := b.TakeAway("admind")
	began := time.Now()
	clean(t, load(t, callees, "register", sipp.Config{Rows: users, Calls: len(users), Rate: regRate}), len(users))
	callee := load(t, callees, "callee", sipp.Config{Calls: outageCalls})
	caller := load(t, callers, "caller", sipp.Config{Rows: calls, Calls: outageCalls, Rate: outageRate})
	clean(t, caller, outageCalls)
	clean(t, callee, outageCalls)
	status, err := b.Switch().Status(t.Context())
	if err != nil || status.RecordsQueued < outageCalls {
		t.Errorf("%d records wait for the archive, fewer than calls were made (%v)", status.RecordsQueued, err)
	}
	time.Sleep(time.Until(began.Add(outage)))
	giveBack()
	api := b.API(callers)
	sameAsSIPp(t, api.Calls(outageCalls), caller.Durations())
	devices := map[string]bool{}
	for _, r := range boxtest.Records[record.Registration](api, "registrations", nil) {
		devices[r.User] = true
	}
	if len(devices) != len(users) {
		t.Errorf("records of %d devices, of %d that registered", len(devices), len(users))
	}
}

// diskSize is a disk on which there is room for records, but so little that the box warns.
const (
	diskSize   = "size=192m"
	alarmSmall = "archive.disk.low"
	alarmFiles = "file.disk"
)

// fill takes what is left of the disk of a folder and returns what gives it back.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	file := filepath.Join(dir, "filler")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 1<<16)
	for err == nil {
		_, err = f.Write(block)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFullDiskStopsRecordsAndNotCalls(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t)
	near, far := lab.Host(t, "callers"), lab.Host(t, "callees")
	data := filepath.Join(lab.Box.Dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", data, "tmpfs", 0, diskSize); err != nil {
		t.Fatalf("a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(data, 0); err != nil {
			t.Error(err)
		}
	})
	b := boxtest.Start(t, lab, boxtest.Config{Count: 4, Data: data})
	api := b.API(near)
	from, to := line(t, near, 0), line(t, far, 1)
	speak := func() {
		t.Helper()
		out, in := connect(t, from, to)
		if code := out.HangUp(); code != 200 || !in.Ended(netlab.Patience) {
			t.Errorf("BYE was answered %d, or did not arrive", code)
		}
	}
	speak()
	api.Calls(1)
	if on := alarms(api); len(on) != 2 || !on[alarmSmall] || !on[alarmFiles] {
		t.Errorf("alarms while there is room: %v", on)
	}

	free := fill(t, data)
	speak()
	from = line(t, near, 2) // a new device can sign in and call
	speak()
	awaitAlarm(t, api, "records.stopped", true)

	free()
	awaitAlarm(t, api, "records.stopped", false)
	from = line(t, near, 3)
	speak()
	for n := 2; ; n++ { // a call from before the alarm may have one, too
		if all := api.Calls(n); all[0].Caller.User == from.User {
			break
		}
	}
}

// alarms returns the codes of the alarms that the box shows.
func alarms(api *boxtest.API) map[string]bool {
	var overview struct {
		Alarms []struct {
			Code string `json:"code"`
			Text string `json:"text"`
			Cure string `json:"cure"`
		} `json:"alarms"`
	}
	api.Get("/overview", &overview)
	on := map[string]bool{}
	for _, a := range overview.Alarms {
		on[a.Code] = a.Text != "" && a.Cure != ""
	}
	return on
}

func awaitAlarm(t *testing.T, api *boxtest.API, code string, on bool) {
	t.Helper()
	for until := time.Now().Add(netlab.Patience); alarms(api)[code] != on; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("alarm %s is not %v: %v", code, on, alarms(api))
		}
	}
}

package boxtest

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
	"github.com/coraltele/sanchar/pkg/testkit/tone"
)

// Put replaces what is at path; it must succeed.
func (a *API) Put(path string, in, out any, header ...string) {
	a.box.t.Helper()
	if err := a.do(http.MethodPut, path, in, out, header...); err != nil {
		a.box.t.Fatal(err)
	}
}

// Record sets the rules of recording; keys and format stay.
func (a *API) Record(rules ...ctl.RecordingRule) {
	a.box.t.Helper()
	var now ctl.RecordingSettings
	a.Get("/settings/recording", &now)
	for i := range rules {
		rules[i].People, rules[i].Numbers = append([]string{}, rules[i].People...), append([]string{}, rules[i].Numbers...)
	}
	now.Rules = rules
	a.Put("/settings/recording", now.RecordingPolicy, nil, "If-Match", "*")
}

// Recordings waits until the archive has at least n recordings, and returns all, newest first.
func (a *API) Recordings(n int) (all []record.Recording) {
	a.box.t.Helper()
	for until := time.Now().Add(netlab.Patience); ; time.Sleep(recordEvery) {
		if all = Records[record.Recording](a, "recordings", nil); len(all) >= n {
			return all
		}
		if time.Now().After(until) {
			a.box.t.Fatalf("%d of %d recordings are in the archive", len(all), n)
		}
	}
}

// Play opens a recording as a listener does, fetches its file and decodes what each party said.
func (a *API) Play(rec record.Recording) (caller, callee tone.Sound) {
	a.box.t.Helper()
	var open struct {
		Address string `json:"address"`
	}
	a.Post("/recordings/"+url.PathEscape(rec.ID)+"/listen", map[string]string{"reason": "test"}, &open)
	file, err := a.file(open.Address)
	if err == nil {
		caller, callee, err = tone.ReadOgg(file)
	}
	if err != nil {
		a.box.t.Fatalf("recording %s: %v", rec.ID, err)
	}
	return caller, callee
}

func (a *API) file(path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(a.box.t.Context(), http.MethodGet, a.base+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	resp, err := a.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s %s", path, resp.Status, data)
	}
	return data, err
}

package image

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// cuts is how often the power is cut. Each takes a start.
const cuts = 20

// TestPowerCuts cuts the power at moments nobody chose, of updates and of normal load: the box starts each
// time, and has every user whose making it acknowledged.
func TestPowerCuts(t *testing.T) {
	long(t)
	tools(t, "qemu-system-x86_64", "mksquashfs", "mkfs.vfat", "mcopy")
	m := flash(t, x86(), build(t, "qemu", "1.0.0").image)
	update := build(t, "qemu", "2.0.0").update
	bundle, err := os.ReadFile(update)
	if err != nil {
		t.Fatal(err)
	}
	m.on()
	o := setUp(t, m, m.setupCode())
	var made []string
	for i := range cuts {
		stop := make(chan struct{})
		done := make(chan []string)
		go func() { done <- o.load(i, stop) }()
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			if i%2 == 1 {
				o.try(bundle)
			}
		}()
		time.Sleep(time.Duration(rand.Int64N(int64(20 * time.Second)))) // the moment that nobody chose
		m.off()
		close(stop)
		made = append(made, <-done...)
		<-sent
		m.on()
		m.until(`Page: +https://10\.0\.2\.15`, 2*patience)
		if st := o.state(); st.Version == "2.0.0" && st.Trial != nil {
			m.until("this version is well and stays", 2*patience)
		}
		if missing := o.without(made); len(missing) > 0 {
			t.Fatalf("cut %d: %d of %d users are missing: %v", i, len(missing), len(made), missing)
		}
		t.Logf("cut %d: %d users, version %s", i, len(made), o.state().Version)
	}
}

// load makes users until the power is gone, and returns those that the box has acknowledged.
func (o *owner) load(round int, stop chan struct{}) (made []string) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return made
		default:
		}
		name := fmt.Sprintf("user-%d-%d", round, n)
		if code, err := o.post("/users", "application/json", strings.NewReader(`{"name":"`+name+`"}`)); err == nil && code == http.StatusCreated {
			made = append(made, name)
		}
	}
}

// try sends an update that the power may cut.
func (o *owner) try(bundle []byte) {
	_, _ = o.post("/update", "application/octet-stream", strings.NewReader(string(bundle))) // what became of it is seen later
}

func (o *owner) post(path, kind string, body io.Reader) (int, error) {
	req, err := http.NewRequest(http.MethodPost, "https://"+o.m.page+"/api/v1"+path, body)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+o.token)
	req.Header.Set("Content-Type", kind)
	resp, err := o.web.Do(req)
	if err != nil {
		return 0, err
	}
	_ = resp.Body.Close() // the status is all
	return resp.StatusCode, nil
}

// without returns the users that the box does not know.
func (o *owner) without(names []string) (missing []string) {
	o.m.t.Helper()
	known := map[string]bool{}
	for after := ""; ; {
		req, err := http.NewRequestWithContext(o.m.t.Context(), http.MethodGet, "https://"+o.m.page+"/api/v1/users?limit=100&after="+after, nil)
		if err != nil {
			o.m.t.Fatal(err)
		}
		var page struct {
			Users []struct{ Name string }
			Next  string
		}
		o.do(req, &page)
		for _, u := range page.Users {
			known[u.Name] = true
		}
		if after = page.Next; after == "" {
			break
		}
	}
	for _, n := range names {
		if !known[n] {
			missing = append(missing, n)
		}
	}
	return missing
}

// TestFactoryReset erases a box that was set up: it asks for a set-up code again, and keeps its number.
func TestFactoryReset(t *testing.T) {
	long(t)
	tools(t, "qemu-system-x86_64", "mksquashfs", "mkfs.vfat", "mcopy")
	m := flash(t, x86(), build(t, "qemu", "1.0.0").image)
	m.on()
	number := m.until(`msg=box serial=\S+`, 2*patience)
	o := setUp(t, m, m.setupCode())
	if code, err := o.post("/restart", "application/json", strings.NewReader(`{"reset":true}`)); err != nil || code != http.StatusNoContent {
		t.Fatalf("%d, %v", code, err)
	}
	m.until("factory reset: all data is erased", patience)
	if again := m.until(`msg=box serial=\S+`, patience); again != number {
		t.Errorf("the box's number is %q, was %q", again, number)
	}
	if code := m.setupCode(); code == "" {
		t.Error("the box does not ask to be set up")
	}
}

package boxtest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// API asks the box's public interface from a host, over HTTPS with its CA and an owner's token.
type API struct {
	box   *Box
	base  string
	token string
	http  *http.Client
}

// API returns a client of the box's public interface.
func (b *Box) API(from *netlab.Host) *API {
	b.t.Helper()
	token, err := os.ReadFile(b.token)
	if err != nil {
		b.t.Fatal(err)
	}
	pem, err := os.ReadFile(b.CA())
	if err != nil {
		b.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	tr := &http.Transport{DialContext: from.DialContext, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	b.t.Cleanup(tr.CloseIdleConnections)
	a := &API{
		box: b, base: fmt.Sprintf("https://%s:%d/api/v1", from.Box4, HTTPS), token: strings.TrimSpace(string(token)),
		http: &http.Client{Transport: tr, Timeout: netlab.Patience},
	}
	// The page's certificate names an address a moment after the box has it.
	for until := time.Now().Add(netlab.Patience); ; time.Sleep(recordEvery) {
		err := a.Try("/overview", &json.RawMessage{})
		var untrusted *tls.CertificateVerificationError
		switch {
		case err == nil:
			return a
		case !errors.As(err, &untrusted) || time.Now().After(until):
			b.t.Fatal(err)
		}
	}
}

// Try gets path and decodes the answer into out.
func (a *API) Try(path string, out any) error { return a.do(http.MethodGet, path, nil, out) }

// do sends in, if not nil, and decodes the answer into out, if not nil.
func (a *API) do(method, path string, in, out any, header ...string) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(a.box.t.Context(), method, a.base+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusMultipleChoices {
		text, _ := io.ReadAll(resp.Body) // for the message only
		return fmt.Errorf("%s %s: %s %s", method, path, resp.Status, text)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// Fetch returns what is at path as it comes.
func (a *API) Fetch(path string) []byte {
	a.box.t.Helper()
	req, err := http.NewRequestWithContext(a.box.t.Context(), http.MethodGet, a.base+path, nil)
	if err != nil {
		a.box.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	resp, err := a.http.Do(req)
	if err != nil {
		a.box.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		a.box.t.Fatalf("GET %s: %s, %v", path, resp.Status, err)
	}
	return body
}

// TryPost posts in, with further headers by name and value, and decodes the answer into out.
func (a *API) TryPost(path string, in, out any, header ...string) error {
	return a.do(http.MethodPost, path, in, out, header...)
}

// Post is TryPost for what must succeed.
func (a *API) Post(path string, in, out any, header ...string) {
	a.box.t.Helper()
	if err := a.TryPost(path, in, out, header...); err != nil {
		a.box.t.Fatal(err)
	}
}

// As returns a client with another token.
func (a *API) As(token string) *API {
	other := *a
	other.token = token
	return &other
}

// Get is Try for what must succeed.
func (a *API) Get(path string, out any) {
	a.box.t.Helper()
	if err := a.Try(path, out); err != nil {
		a.box.t.Fatal(err)
	}
}

// pageLimit is how many records are asked for at once.
const pageLimit = 1000

// Records returns all records of a list of the API, newest first.
func Records[T any](a *API, name string, match url.Values) (all []T) {
	a.box.t.Helper()
	q := url.Values{"limit": {fmt.Sprint(pageLimit)}}
	for k, v := range match {
		q[k] = v
	}
	for {
		var page struct {
			Records []T    `json:"records"`
			Next    string `json:"next"`
		}
		a.Get("/records/"+name+"?"+q.Encode(), &page)
		all = append(all, page.Records...)
		if page.Next == "" {
			return all
		}
		q.Set("before", page.Next)
	}
}

// recordEvery is how often records are asked for while they are waited for.
const recordEvery = 200 * time.Millisecond

// Calls waits until the archive has at least n calls, and returns all.
func (a *API) Calls(n int) (all []record.Call) {
	a.box.t.Helper()
	return Await[record.Call](a, "calls", n)
}

// Await waits until a list of the API has at least n records, and returns all, newest first.
func Await[T any](a *API, name string, n int) (all []T) {
	a.box.t.Helper()
	for until := time.Now().Add(netlab.Patience); ; time.Sleep(recordEvery) {
		if all = Records[T](a, name, nil); len(all) >= n {
			return all
		}
		if time.Now().After(until) {
			a.box.t.Fatalf("%d of %d %s are in the archive", len(all), n, name)
		}
	}
}

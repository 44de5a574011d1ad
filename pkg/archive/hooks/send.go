package hooks

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// failed is why an event was not taken, and what follows from it.
type failed struct {
	ctl.HookFailure
	wait  time.Duration // that the target asks for
	final bool          // it wants no more
}

// told is what may be told of it, nil for none.
func (f *failed) told() *ctl.HookFailure {
	if f == nil {
		return nil
	}
	return &f.HookFailure
}

// Test sends a test event now, past all that waits. When it is taken, what waits is tried as well.
func (e *Engine) Test(ctx context.Context, id string) (r ctl.HookResult, err error) {
	w, err := e.worker(id)
	if err != nil {
		return r, err
	}
	began := time.Now()
	body, err := json.Marshal(ctl.HookEvent{Type: ctl.HookTest, Timestamp: began.UTC().Truncate(time.Millisecond)})
	if err != nil {
		return r, err
	}
	code := 0
	r.Failure = w.post(ctx, &outgoing{id: "test_" + ids.Random(10), body: body}, &code).told()
	r.OK, r.Code, r.Took = r.Failure == nil, code, time.Since(began)
	if r.OK {
		w.mu.Lock()
		w.place.Next = time.Time{}
		w.mu.Unlock()
		w.kick()
	}
	return r, ctx.Err()
}

// send tells the target, and then switchd if the target stands for phones. When one of them does not
// take it, both are told again.
func (w *worker) send(ctx context.Context, ev *outgoing) *failed {
	var code int
	if ev.body != nil {
		if f := w.post(ctx, ev, &code); f != nil {
			return f
		}
	}
	if ev.taken == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	if err := w.e.cfg.Taken(ctx, *ev.taken); err != nil {
		p := problem.Of(err)
		return failure(0, p.Text, p.Cure)
	}
	return nil
}

// post sends an event and says why it was not taken, nil if it was. An answer is read so far only
// that the connection can be used again.
func (w *worker) post(ctx context.Context, ev *outgoing, code *int) *failed {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	w.mu.Lock()
	target, client, now := w.doc.URL, w.client, time.Now()
	secrets := [][]byte{w.secrets[0]}
	if w.secrets[1] != nil && now.Before(w.doc.BeforeUntil) {
		secrets = append(secrets, w.secrets[1])
	}
	w.mu.Unlock()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(ev.body))
	if err != nil {
		return failure(0, "the address cannot be used", "correct the address")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", w.e.cfg.Product)
	sign(req.Header, ev.id, now, ev.body, secrets)
	resp, err := client.Do(req)
	if err != nil {
		return unreached(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)) // the status has said it
	*code = resp.StatusCode
	return answered(resp)
}

func failure(code int, text, cure string) *failed {
	return &failed{HookFailure: ctl.HookFailure{At: time.Now().UTC(), Text: text, Cure: cure, Code: code}}
}

// answered judges an answer.
func answered(resp *http.Response) *failed {
	code := resp.StatusCode
	f := failure(code, fmt.Sprintf("the target answered %d", code), "look at the log of the target")
	switch {
	case code >= 200 && code < 300:
		return nil
	case code >= 300 && code < 400:
		f.Text, f.Cure = fmt.Sprintf("the target answered %d, a redirect, which is not followed", code), "enter the address that it leads to, if that is the right one"
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		f.Cure = "let the target verify the signature with the hook's secret, and let it take requests without signing in"
	case code == http.StatusNotFound || code == http.StatusMethodNotAllowed:
		f.Cure = "correct the address: nothing takes a POST there"
	case code == http.StatusGone: // Standard Webhooks: the target wants no more
		f.Text, f.Cure, f.final = "the target answered 410: it wants no more events", "remove the hook, or start it again when the target wants events again", true
	case code == http.StatusRequestEntityTooLarge:
		f.Cure = "let the target take 300 KB"
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		f.wait = min(time.Duration(s)*time.Second, pauseLast)
	}
	return f
}

// unreached judges a request without an answer.
func unreached(err error) *failed {
	const look = "look whether the target runs and can be reached from the box"
	text, cure := "the target cannot be reached", look
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var dns *net.DNSError
	var alert tls.AlertError
	var plain tls.RecordHeaderError
	switch {
	case errors.Is(err, errOwn):
		text, cure = "the address is that of the box itself, or valid on one link only", "give the target an address of its own"
	case errors.As(err, &unknown):
		text, cure = "the target's certificate is of an authority that is not known", "paste the certificate of that authority into the hook"
	case errors.As(err, &name):
		text, cure = "the target's certificate is for another name", "correct the address, or give the target a certificate for it"
	case errors.As(err, &invalid):
		text, cure = "the target's certificate is not valid", "renew the target's certificate, and see that the clock of the box is right"
	case errors.As(err, &alert), errors.As(err, &plain):
		text, cure = "the target and the box do not agree on TLS", "let the target speak TLS 1.2 or newer at this port"
	case errors.As(err, &dns):
		text, cure = "the name of the target is not found", "correct the address, or look at the box's DNS"
	case errors.Is(err, syscall.ECONNREFUSED):
		text = "the target refuses connections"
	case isTimeout(err):
		text, cure = fmt.Sprintf("the target did not answer within %d seconds", int(requestTime.Seconds())), "let the target answer at once and work later"
	}
	return failure(0, text, cure)
}

func isTimeout(err error) bool {
	var u *url.Error
	return errors.As(err, &u) && u.Timeout()
}

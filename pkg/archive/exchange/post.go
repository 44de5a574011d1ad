package exchange

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"time"

	"github.com/coraltele/sanchar/pkg/archive/scan"
	"github.com/coraltele/sanchar/pkg/archive/vault"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/sip/ftxml"
)

const (
	// maxHead bounds what is read of a form before its file begins, and after its end.
	maxHead = 16 << 10
	// drainTime is how long the rest of a refused file is taken and thrown away: a client that
	// writes all before it reads would otherwise not hear why.
	drainTime = 30 * time.Second
)

// post takes a file. A post without a body asks whether it may send one; Linphone sends it without
// a Content-Length, too (RFC 9112 §6.3: then there is no body).
func (x *Exchange) post(w http.ResponseWriter, r *http.Request, who user) {
	policy, _ := x.policy.Load()
	if !policy.Enabled {
		refuse(w, http.StatusForbidden, "files cannot be sent on this box")
		return
	}
	if r.ContentLength == 0 {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	f, err := x.receive(w, r, who, policy)
	if err != nil {
		x.drain(w, r)
	}
	answerTime := time.Now().Add(stall)
	if timeErr := http.NewResponseController(w).SetWriteDeadline(answerTime); err == nil {
		err = timeErr
	}
	if err != nil {
		x.fail(w, err)
		return
	}
	host, _ := reachedAt(r) // was right before the file was taken
	told := ftxml.File{Name: f.Name, ContentType: f.ContentType, Size: f.Size, URL: x.URL(host) + f.ID, Until: f.Until}
	body := told.Append(nil)
	x.cfg.Log.Info("a file was kept", "user", who.name, "size", f.Size, "until", f.Until)
	w.Header().Set("Content-Type", ftxml.MediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the sender is gone: he sends it again
}

// drain takes what a refused client still sends, for a while.
func (x *Exchange) drain(w http.ResponseWriter, r *http.Request) {
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(drainTime)); err == nil {
		_, _ = io.Copy(io.Discard, r.Body) // whatever ends it, the answer is the refusal
	}
}

// receive reads the form and keeps its file. An error leaves nothing of it.
func (x *Exchange) receive(w http.ResponseWriter, r *http.Request, who user, policy ctl.FilePolicy) (f ctl.StoredFile, err error) {
	if _, err := reachedAt(r); err != nil {
		return f, err
	}
	maxSize := int64(policy.MaxMB) << 20
	if r.ContentLength > maxSize+2*maxHead {
		return f, problem.New(problem.Full, vault.CodeTooLarge, fmt.Sprintf("the file is larger than %d MB", policy.MaxMB), "send a smaller file")
	}
	body := newSlowBody(w, r.Body)
	form := &http.Request{Method: r.Method, Header: r.Header, Body: body}
	parts, err := form.MultipartReader()
	if err != nil {
		return f, errForm("the body is no form")
	}
	body.left = maxHead
	part, err := parts.NextPart()
	if err != nil {
		return f, asForm(err)
	}
	body.left = maxSize + 2*maxHead
	in, err := x.begin(r.Context(), part.Header, who, policy)
	if err != nil {
		return f, err
	}
	defer in.close()
	if err := in.copy(part); err != nil {
		return f, err
	}
	body.left = min(body.left, maxHead)
	if _, err := parts.NextPart(); err != io.EOF { //nolint:errorlint // bare at the form's own end; one that breaks off is wrapped
		return f, asForm(err)
	}
	return in.finish()
}

// asForm says what is wrong with a form. What broke off is told to nobody: the peer is gone.
func asForm(err error) error {
	switch {
	case err == nil:
		return errForm("the form has more than one part")
	case errors.Is(err, errLongHead):
		return errForm("the form is longer than its file may be, or its headers are too long")
	}
	return problem.Wrap(err, problem.Invalid, "file.broken", "the form is broken, or did not arrive whole", "send it again")
}

// incoming is a file on its way through the scanners into the vault.
type incoming struct {
	x      *Exchange
	policy ctl.FilePolicy
	sender string
	name   string
	kind   string
	up     *vault.Upload
	scans  []scan.Scan
	cancel context.CancelFunc
}

func (x *Exchange) begin(ctx context.Context, header textproto.MIMEHeader, who user, policy ctl.FilePolicy) (*incoming, error) {
	name, err := fileName(header.Get("Content-Disposition"))
	if err != nil {
		return nil, err
	}
	kind := contentType(header.Get("Content-Type"))
	if !typeAllowed(policy.Types, kind) {
		return nil, problem.New(problem.Invalid, "file.type", "files of this type cannot be sent on this box", "send another type of file")
	}
	if runs(name) && !policy.Programs {
		name += harmless
	}
	in := &incoming{x: x, policy: policy, sender: who.name, name: name, kind: kind}
	ctx, in.cancel = context.WithCancel(ctx)
	err = in.beginScans(ctx)
	if err == nil {
		in.up, err = x.cfg.Vault.Begin(vault.Claim{
			OwnerID: who.id, Owner: who.name, MaxSize: int64(policy.MaxMB) << 20, Quota: int64(policy.QuotaMB) << 20, Valid: time.Duration(policy.Days) * day,
		})
	}
	if err != nil {
		in.close()
		return nil, err
	}
	return in, nil
}

func (in *incoming) beginScans(ctx context.Context) error {
	var all []scan.Scanner
	if in.x.cfg.Scanner != nil {
		all = append(all, in.x.cfg.Scanner)
	}
	if in.policy.ScanURL != "" {
		service, err := scan.ParseICAP(in.policy.ScanURL)
		if err != nil {
			return err
		}
		all = append(all, service)
	}
	for _, s := range all {
		one, err := s.Begin(ctx, scan.File{Name: in.name, ContentType: in.kind})
		if err != nil {
			return in.blind(err)
		}
		in.scans = append(in.scans, one)
	}
	return nil
}

// blind refuses a file that no scanner looked at.
func (in *incoming) blind(err error) error {
	in.x.scanned(err)
	return problem.Wrap(err, problem.Unavailable, "file.scanner", "the file could not be looked at for viruses", "try again later, or tell your administrator")
}

// copy takes the file's bytes.
func (in *incoming) copy(from io.Reader) error {
	head := make([]byte, sniffBytes)
	n, err := io.ReadFull(from, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return asForm(err)
	}
	if !in.policy.Programs && isProgram(head[:n]) {
		return problem.New(problem.Invalid, "file.program", "programs cannot be sent on this box", "send another file")
	}
	if err := in.write(head[:n]); err != nil {
		return err
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if writeErr := in.write(buf[:n]); writeErr != nil {
			return writeErr
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return asForm(err)
		}
	}
}

func (in *incoming) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	for _, s := range in.scans {
		_, _ = s.Write(p) // its verdict tells of errors
	}
	_, err := in.up.Write(p)
	return err
}

// finish keeps the file if all scanners say that it is clean.
func (in *incoming) finish() (f ctl.StoredFile, err error) {
	for _, s := range in.scans {
		v, err := s.Verdict()
		if err != nil {
			return f, in.blind(err)
		}
		in.x.scanned(nil)
		if !v.Clean {
			in.x.cfg.Log.Warn("a file was refused by the scanner", "user", in.sender, "found", v.Found)
			return f, problem.New(problem.Denied, "file.infected", "the file carries a virus, or what the scanner takes for one", "do not send it")
		}
	}
	return in.up.Finish(in.name, in.kind)
}

// close leaves nothing of a file that was not kept.
func (in *incoming) close() {
	in.cancel()
	for _, s := range in.scans {
		s.Close()
	}
	if in.up != nil {
		in.up.Discard()
	}
}

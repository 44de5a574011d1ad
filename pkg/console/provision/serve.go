package provision

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// PathPrefix is where phones come; the token, or the name of a file, follows.
const PathPrefix = "/provision/"

// caFile is the box's CA, which a phone must trust before it speaks TLS with the box.
const caFile = "ca.pem"

// Handle serves phones that have a token on mux. A phone may send X-Linphone-Provisioning; nothing
// depends on it.
func (p *Provision) Handle(mux *http.ServeMux) {
	mux.HandleFunc("GET "+PathPrefix+"{token}", p.serveToken)
}

// HandlePhones serves desk phones as well: who comes here is in a zone that may fetch settings.
func (p *Provision) HandlePhones(mux *http.ServeMux) {
	mux.HandleFunc("GET "+PathPrefix+caFile, p.serveCA)
	mux.HandleFunc("GET "+PathPrefix+"{token}", func(w http.ResponseWriter, r *http.Request) {
		if mac, f := fileOf(r.PathValue("token")); f != formNone {
			p.servePhone(w, r, mac, f)
			return
		}
		p.serveToken(w, r)
	})
}

func (p *Provision) serveToken(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	doc, err := p.answer(r)
	if err != nil {
		p.refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/xml; charset=utf-8")
	_, _ = w.Write(doc) // the phone is gone: its user asks for another address
}

func (p *Provision) serveCA(w http.ResponseWriter, r *http.Request) {
	ca, err := p.cfg.Switch.CA(r.Context())
	if err != nil {
		p.refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-pem-file")
	_, _ = io.WriteString(w, ca.PEM) // the phone asks again
}

// answer takes the token only when everything else is at hand.
func (p *Provision) answer(r *http.Request) ([]byte, error) {
	if r.Method != http.MethodGet { // a HEAD of a link checker must not use it up
		return nil, problem.New(problem.Denied, "provision.method", "this address is opened by a phone", "open it with GET")
	}
	token := r.PathValue("token")
	g, err := p.find(token)
	if err != nil {
		return nil, err
	}
	ha1, err := unseal(token, g)
	if err != nil {
		return nil, fmt.Errorf("provisioning of user %s: %w", g.User, err)
	}
	s, err := p.settings(r.Context(), g.User, g.Transport, r.Host)
	if err != nil {
		return nil, err
	}
	s.HA1, s.Files = ha1, p.cfg.Files(r.Host)
	doc, err := s.encode()
	if err != nil {
		return nil, err
	}
	if err := p.consume(token); err != nil {
		return nil, err
	}
	return doc, p.cfg.Used(r.Context(), s.User, Fetch{Source: sourceOf(r), Agent: r.UserAgent(), Plain: r.TLS == nil})
}

func sourceOf(r *http.Request) netip.Addr {
	ap, _ := netip.ParseAddrPort(r.RemoteAddr) // of a connection that is none there is no source
	return ap.Addr().Unmap()
}

// settings are all but the secret.
func (p *Provision) settings(ctx context.Context, user, transport, hostHeader string) (s settings, err error) {
	host, ok := hostOf(hostHeader)
	if !ok {
		return s, problem.New(problem.Invalid, "provision.host", "the Host header is no host", "open the address as it was given")
	}
	st, err := p.cfg.Switch.Status(ctx)
	if err != nil {
		return s, err
	}
	s.User, err = p.cfg.Switch.User(ctx, user)
	if problem.Is(err, problem.Missing) || (err == nil && s.User.Disabled) {
		return s, errOver()
	}
	if err != nil {
		return s, err
	}
	l, ok := listener(st.Listeners, transport)
	if !ok {
		return s, problem.New(problem.Unavailable, "provision.transport", "the box does not serve the transport of this address", "ask your administrator for another one")
	}
	if bound := l.Address.Addr(); !bound.IsUnspecified() {
		host = bound.String()
	}
	s.Domain, s.Host, s.Transport, s.Port = st.Domain, host, l.Transport, l.Address.Port()
	return s, nil
}

func (p *Provision) refuse(w http.ResponseWriter, err error) {
	pr := problem.Of(err)
	status := ctl.HTTPStatus(pr.Kind)
	switch pr.Kind {
	case problem.Missing:
		status = http.StatusGone // as a phone knows that there is no use in coming again
	case problem.Unavailable:
		w.Header().Set("Retry-After", "5")
	case problem.Internal:
		p.cfg.Log.Error("a phone was not provisioned", "err", err)
	case problem.Invalid, problem.Denied, problem.Conflict, problem.Unsigned, problem.Full:
	}
	http.Error(w, pr.Text+". "+pr.Cure+".", status)
}

package provision

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// PathPrefix is where phones come; the token follows.
const PathPrefix = "/provision/"

// Handle serves phones on mux. A phone may send X-Linphone-Provisioning; nothing depends on it.
func (p *Provision) Handle(mux *http.ServeMux) {
	mux.HandleFunc("GET "+PathPrefix+"{token}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		doc, err := p.answer(r)
		if err != nil {
			p.refuse(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/xml; charset=utf-8")
		_, _ = w.Write(doc) // the phone is gone: its user asks for another address
	})
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
	s, err := p.settings(r.Context(), token, g, r.Host)
	if err != nil {
		return nil, err
	}
	doc, err := s.encode()
	if err != nil {
		return nil, err
	}
	source := netip.Addr{}
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		source = ap.Addr().Unmap()
	}
	if err := p.consume(token); err != nil {
		return nil, err
	}
	return doc, p.cfg.Used(r.Context(), s.User, source, r.UserAgent())
}

func (p *Provision) settings(ctx context.Context, token string, g grant, hostHeader string) (s settings, err error) {
	if s.HA1, err = unseal(token, g); err != nil {
		return s, fmt.Errorf("provisioning of user %s: %w", g.User, err)
	}
	host, ok := hostOf(hostHeader)
	if !ok {
		return s, problem.New(problem.Invalid, "provision.host", "the Host header is no host", "open the address as it was given")
	}
	st, err := p.cfg.Switch.Status(ctx)
	if err != nil {
		return s, err
	}
	s.User, err = p.cfg.Switch.User(ctx, g.User)
	if problem.Is(err, problem.Missing) || (err == nil && s.User.Disabled) {
		return s, errOver()
	}
	if err != nil {
		return s, err
	}
	l, ok := listener(st.Listeners, g.Transport)
	if !ok {
		return s, problem.New(problem.Unavailable, "provision.transport", "the box does not serve the transport of this address", "ask your administrator for another one")
	}
	if bound := l.Address.Addr(); !bound.IsUnspecified() {
		host = bound.String()
	}
	s.Files = p.cfg.Files(hostHeader)
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

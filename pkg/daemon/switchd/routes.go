package switchd

import (
	"crypto/x509"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// routes are what the other daemons ask us for; ctl.Switch is the client.
func (d *Daemon) routes() http.Handler {
	mux := http.NewServeMux()
	ctl.Handle(mux, "GET /v1/status", func(*http.Request, ctl.None) (ctl.SwitchStatus, error) { return d.status(), nil })
	ctl.Handle(mux, "PUT /v1/domain", func(r *http.Request, in ctl.Domain) (ctl.None, error) {
		err := d.users.SetDomain(in.Domain)
		d.nameCertificate()
		d.tellReach(r.Context())
		return ctl.None{}, err
	})
	d.userRoutes(mux)
	d.pushRoutes(mux)
	d.mediaRoutes(mux)
	d.recordingRoutes(mux)
	ctl.Handle(mux, "GET /v1/registrations", func(*http.Request, ctl.None) ([]ctl.Registration, error) { return d.registrations(), nil })
	ctl.Handle(mux, "GET /v1/calls", func(*http.Request, ctl.None) ([]ctl.LiveCall, error) { return d.calls.List(), nil })
	ctl.Handle(mux, "DELETE /v1/calls/{id}", d.hangUp)
	ctl.Handle(mux, "DELETE /v1/bans", d.liftBan)
	ctl.Handle(mux, "POST /v1/drain", func(_ *http.Request, in ctl.Drain) (ctl.None, error) {
		d.calls.Refuse(time.Now().Add(in.For))
		return ctl.None{}, nil
	})
	ctl.Handle(mux, "GET /v1/chat/policy", func(*http.Request, ctl.None) (ctl.ChatPolicy, error) { return d.chat.Policy(), nil })
	ctl.Handle(mux, "PUT /v1/chat/policy", func(_ *http.Request, in ctl.ChatPolicy) (ctl.None, error) {
		return ctl.None{}, d.chat.SetPolicy(in)
	})
	ctl.Handle(mux, "POST /v1/messages", func(r *http.Request, in ctl.NewMessage) (ctl.SentMessage, error) {
		return d.chat.Submit(r.Context(), in)
	})
	ctl.Handle(mux, "POST /v1/messages/taken", func(r *http.Request, in ctl.TakenMessage) (ctl.None, error) {
		return ctl.None{}, d.chat.Taken(r.Context(), in)
	})
	ctl.Stream(mux, "GET /v1/events", d.events)
	ctl.Handle(mux, "POST /v1/digest", d.digest)
	ctl.Handle(mux, "POST /v1/certificates", d.sign)
	ctl.Handle(mux, "GET /v1/ca", func(*http.Request, ctl.None) (ctl.Certificate, error) {
		return ctl.Certificate{PEM: string(d.ca.PEM())}, nil
	})
	return mux
}

func (d *Daemon) status() ctl.SwitchStatus {
	st := ctl.SwitchStatus{
		Version: d.cfg.Version, Started: d.started, Domain: d.users.Domain(), Users: d.users.Len(), Registrations: d.devices.Len(),
		Calls: len(d.calls.List()), Messages: d.chat.Waiting(), RecordsQueued: d.outbox.Waiting(), Alarms: d.alarms.list(),
	}
	for _, l := range d.edge.Listening() {
		st.Listeners = append(st.Listeners, ctl.Listener{Transport: l.Transport.Param(), Address: l.Local})
	}
	return st
}

func (d *Daemon) userRoutes(mux *http.ServeMux) {
	ctl.Handle(mux, "GET /v1/users", func(r *http.Request, _ ctl.None) (ctl.UserPage, error) {
		q := r.URL.Query()
		limit, _ := strconv.Atoi(q.Get("limit")) // none, or no number, is the default
		page := d.users.List(ctl.UserQuery{Text: q.Get("text"), After: q.Get("after"), Limit: limit})
		for i := range page.Users {
			d.countDevices(&page.Users[i])
		}
		return page, nil
	})
	ctl.Handle(mux, "GET /v1/users/{id}", func(r *http.Request, _ ctl.None) (u ctl.User, err error) {
		a := d.users.ByID(r.PathValue("id"))
		if a == nil {
			return u, problem.New(problem.Missing, "user.missing", "there is no such user", "look at the list of users: it may have been removed")
		}
		u = a.User()
		d.countDevices(&u)
		return u, nil
	})
	ctl.Handle(mux, "POST /v1/users", func(_ *http.Request, in ctl.NewUser) (ctl.UserWithSecret, error) { return d.users.Add(in) })
	ctl.Handle(mux, "PUT /v1/users/{id}", func(r *http.Request, in ctl.UserSpec) (u ctl.User, err error) {
		revision, err := strconv.ParseUint(r.URL.Query().Get("revision"), 10, 64)
		if err != nil {
			return u, problem.New(problem.Invalid, "user.revision", "the revision that is changed is not named", "read the user first and send its revision along")
		}
		u, err = d.users.Change(r.PathValue("id"), revision, in)
		d.countDevices(&u)
		return u, err
	})
	ctl.Handle(mux, "DELETE /v1/users/{id}", func(r *http.Request, _ ctl.None) (ctl.None, error) {
		return ctl.None{}, d.users.Remove(r.PathValue("id"))
	})
	ctl.Handle(mux, "POST /v1/users/{id}/secret", func(r *http.Request, in ctl.Secret) (ctl.UserWithSecret, error) {
		u, err := d.users.ResetSecret(r.PathValue("id"), in)
		if err == nil {
			d.devices.RemoveDevice(u.ID, "") // who has the old secret must not go on
		}
		return u, err
	})
	ctl.Handle(mux, "POST /v1/users/{id}/devices", func(r *http.Request, _ ctl.None) (ctl.DeviceSecret, error) {
		return d.users.AddDevice(r.PathValue("id"))
	})
	ctl.Handle(mux, "DELETE /v1/users/{id}/devices/{login}", func(r *http.Request, _ ctl.None) (ctl.None, error) {
		err := d.users.RemoveDevice(r.PathValue("id"), r.PathValue("login"))
		if err == nil {
			d.devices.RemoveDevice(r.PathValue("id"), r.PathValue("login"))
		}
		return ctl.None{}, err
	})
	ctl.Handle(mux, "POST /v1/users/import", func(r *http.Request, _ ctl.None) (ctl.ImportResult, error) {
		return d.users.Import(r.Body, r.URL.Query().Get("check") != "")
	})
}

func (d *Daemon) countDevices(u *ctl.User) { u.Devices = len(d.devices.Lookup(u.ID)) }

func (d *Daemon) hangUp(r *http.Request, _ ctl.None) (none ctl.None, err error) {
	if !d.calls.HangUp(r.PathValue("id"), r.URL.Query().Get("by")) {
		err = problem.New(problem.Missing, "call.missing", "there is no such call", "it may be over: look at the call log")
	}
	return none, err
}

// sign issues a server certificate for a key, naming the box's addresses and what else is asked for.
func (d *Daemon) sign(_ *http.Request, in ctl.CertificateRequest) (c ctl.Certificate, err error) {
	pub, err := x509.ParsePKIXPublicKey(in.PublicKey)
	if err != nil {
		return c, problem.Wrap(err, problem.Invalid, "certificate.key", "the public key cannot be read", "send it as PKIX in DER")
	}
	var names []string
	ips := d.addresses()
	for _, n := range in.Names {
		if a, err := netip.ParseAddr(n); err == nil {
			ips = append(ips, a)
		} else {
			names = append(names, n)
		}
	}
	chain, err := d.ca.Issue(names, ips, pub)
	return ctl.Certificate{PEM: string(chain)}, err
}

// aliveEvery is how often a stream says that nothing happened.
const aliveEvery = 10 * time.Second

// eventLinger lets events that come together go together: nobody sees a tenth of a second.
const eventLinger = 100 * time.Millisecond

// events sends all that is there, then what changes.
func (d *Daemon) events(r *http.Request, emit func(any) error) error {
	l := d.hub.join()
	defer l.leave()
	all := d.present()
	l.begin(all)
	if err := emit(all); err != nil {
		return err
	}
	alive := time.NewTicker(aliveEvery)
	defer alive.Stop()
	linger := time.NewTimer(eventLinger)
	defer linger.Stop()
	for {
		news := ctl.Lines{ctl.SwitchEvent{Alive: true}}
		select {
		case <-r.Context().Done():
			return nil
		case <-alive.C:
		case <-l.ready:
			linger.Reset(eventLinger)
			select {
			case <-r.Context().Done():
				return nil
			case <-linger.C:
			}
			news = l.take()
		}
		if err := emit(news); err != nil {
			return err
		}
	}
}

// present is what there is now.
func (d *Daemon) present() (all ctl.Lines) {
	for _, reg := range d.devices.List() {
		all = append(all, ctl.SwitchEvent{Registered: &reg})
	}
	for _, c := range d.calls.List() {
		all = append(all, ctl.SwitchEvent{Call: &c})
	}
	for _, b := range d.bans.list(time.Now()) {
		all = append(all, ctl.SwitchEvent{Banned: &b})
	}
	for _, a := range d.alarms.list() {
		all = append(all, ctl.SwitchEvent{Alarm: &a})
	}
	return all
}

package api

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/console/provision"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// NewSecret sets the SIP secret of a user. With neither password nor ha1 the box makes a strong
// one, which is better.
type NewSecret struct {
	Password  string `json:"password,omitempty" doc:"chosen by a person; empty for one that the box makes"`
	HA1       string `json:"ha1,omitempty" doc:"MD5(user:domain:password) from another system"`
	Transport string `json:"transport,omitempty" enum:"tls,tcp,udp" doc:"for the provisioning address; empty for the safest that the box serves"`
}

// NewUser asks for an account.
type NewUser struct {
	UserSpec
	NewSecret
}

// UserSecret is a user with what is shown this once: a password that the box made, and an address
// by which a phone sets itself up.
type UserSecret struct {
	User         ctl.User      `json:"user"`
	Password     string        `json:"password,omitempty" doc:"shown this once"`
	Settings     Settings      `json:"settings"`
	Provisioning *Provisioning `json:"provisioning,omitempty"`
}

// Provisioning is an address that a phone opens once.
type Provisioning struct {
	URL       string    `json:"url"`
	Linphone  string    `json:"linphone" doc:"opens in a Linphone app on the same device"`
	Expires   time.Time `json:"expires"`
	QRSVG     string    `json:"qr_svg" doc:"the address as a QR code: an SVG document"`
	QRPNG     []byte    `json:"qr_png" doc:"the address as a QR code: a PNG, in base64"`
	Transport string    `json:"transport,omitempty"`
}

// Settings is what a person types into a phone.
type Settings struct {
	AoR         string  `json:"aor" doc:"SIP address"`
	User        string  `json:"user"`
	AuthUser    string  `json:"auth_user"`
	DisplayName string  `json:"display_name"`
	Domain      string  `json:"domain" doc:"also the realm"`
	Password    string  `json:"password,omitempty" doc:"only just after it was made"`
	Proxies     []Proxy `json:"proxies" doc:"where to reach the box, safest transport first"`
	FileServer  string  `json:"file_server,omitempty" doc:"where an app sends files for others (file_transfer_server_url)"`
	Text        string  `json:"text" doc:"all of it as lines to print or send"`
}

// Proxy is one way to reach the box.
type Proxy struct {
	Transport string `json:"transport"`
	Host      string `json:"host"`
	Port      uint16 `json:"port"`
	URI       string `json:"uri"`
}

type secretOutput struct {
	ETag string `header:"ETag"`
	Body UserSecret
}

func (a *API) secretOperations() {
	type addInput struct{ Body NewUser }
	op := with(http.MethodPost, get("add-user", "/users", "Add a user; the secret is shown this once"))
	op.DefaultStatus = http.StatusCreated
	register(a, op, func(ctx context.Context, who caller, in *addInput) (*secretOutput, error) {
		var u ctl.UserWithSecret
		err := a.act(ctx, who, "user.add", in.Body.Name, func(entry *record.Audit) (err error) {
			secret := in.Body.NewSecret
			u, err = a.cfg.Switch.AddUser(ctx, ctl.NewUser{UserSpec: in.Body.spec(), Secret: ctl.Secret{Password: secret.Password, HA1: secret.HA1}})
			if err == nil {
				entry.Object = in.Body.Name + " (" + u.ID + ")"
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		return a.secretAnswer(ctx, who, u, in.Body.NewSecret)
	})

	type resetInput struct {
		ID   string `path:"id"`
		Body NewSecret
	}
	op = with(http.MethodPost, get("reset-secret", "/users/{id}/secret", "Give a user a new secret and a provisioning address; the devices must sign in again"))
	register(a, op, func(ctx context.Context, who caller, in *resetInput) (*secretOutput, error) {
		var u ctl.UserWithSecret
		err := a.act(ctx, who, "user.secret", in.ID, func(entry *record.Audit) (err error) {
			u, err = a.cfg.Switch.ResetSecret(ctx, in.ID, ctl.Secret{Password: in.Body.Password, HA1: in.Body.HA1})
			if err == nil {
				entry.Object = u.Name + " (" + in.ID + ")"
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		return a.secretAnswer(ctx, who, u, in.Body)
	})

	type settingsOutput struct{ Body Settings }
	register(a, get("get-settings", "/users/{id}/settings", "What a person types into a phone"), func(ctx context.Context, who caller, in *userInput) (*settingsOutput, error) {
		u, err := a.cfg.Switch.User(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		s, err := a.settings(ctx, who, u, "")
		return &settingsOutput{s}, err
	})
}

// secretAnswer shows a new secret. The account has it already, so nothing that fails from here on
// may hide it: what cannot be made is left out.
func (a *API) secretAnswer(ctx context.Context, who caller, u ctl.UserWithSecret, in NewSecret) (*secretOutput, error) {
	out := &secretOutput{ETag: etag(u.Revision), Body: UserSecret{User: withLists(u.User), Password: u.Password}}
	settings, err := a.settings(ctx, who, u.User, u.Password)
	if err != nil {
		a.cfg.Log.Warn("settings of a user cannot be shown", "user", u.ID, "err", err)
		return out, nil
	}
	out.Body.Settings = settings
	ha1 := u.HA1
	switch {
	case in.HA1 != "":
		ha1 = in.HA1
	case in.Password != "":
		sum := md5.Sum([]byte(u.Name + ":" + settings.Domain + ":" + in.Password)) // RFC 7616 §3.4.2
		ha1 = hex.EncodeToString(sum[:])
	}
	if out.Body.Provisioning, err = a.provisioning(ctx, who, u.ID, ha1, in.Transport); err != nil {
		a.cfg.Log.Warn("no provisioning address", "user", u.ID, "err", err)
	}
	return out, nil
}

func (a *API) provisioning(ctx context.Context, who caller, user, ha1, transport string) (*Provisioning, error) {
	if ha1 == "" {
		return nil, problem.New(problem.Internal, "provision.ha1", "switchd did not tell the new secret", "reset the secret again")
	}
	token, expires, err := a.cfg.Provision.Issue(user, ha1, transport)
	if err != nil {
		return nil, err
	}
	p := &Provisioning{Expires: expires, Transport: transport}
	p.URL = "https://" + a.reachedAt(ctx, who) + provision.PathPrefix + token
	p.Linphone = "linphone-config:" + p.URL
	if p.QRSVG, err = provision.QRSVG(p.URL); err != nil {
		return nil, err
	}
	p.QRPNG, err = provision.QRPNG(p.URL)
	return p, err
}

// reachedAt is the page's host and port for somebody else: as the admin reached it, unless he sits
// at the box itself.
func (a *API) reachedAt(ctx context.Context, who caller) string {
	host, port, err := net.SplitHostPort(who.host)
	if err != nil {
		host, port = strings.Trim(who.host, "[]"), ""
	}
	if bound, ok := oneAddress(a.cfg.Bind); ok {
		host = bound
	} else if local(host) {
		if others := a.cfg.Hub.Overview(ctx).Addresses; len(others) > 0 {
			host = others[0]
		}
	}
	if port == "" {
		return bracketed(host)
	}
	return net.JoinHostPort(host, port)
}

// oneAddress reports whether a socket that is bound to text is reached at one address only.
func oneAddress(text string) (host string, one bool) {
	addr, err := netip.ParseAddr(text)
	return text, err == nil && !addr.IsUnspecified()
}

func local(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && addr.IsLoopback())
}

func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// settings lists each transport with each address by which the box is reached.
func (a *API) settings(ctx context.Context, who caller, u ctl.User, password string) (Settings, error) {
	st, err := a.cfg.Switch.Status(ctx)
	if err != nil {
		return Settings{}, err
	}
	s := Settings{
		AoR: "sip:" + u.Name + "@" + st.Domain, User: u.Name, AuthUser: u.Name, DisplayName: u.DisplayName,
		Domain: st.Domain, Password: password, Proxies: proxies(st.Listeners, a.hosts(ctx, who)),
		FileServer: a.cfg.Files.Server(a.reachedAt(ctx, who)),
	}
	s.Text = s.lines()
	return s, nil
}

// hosts lists the addresses to reach the box at, the one that the admin used first.
func (a *API) hosts(ctx context.Context, who caller) []string {
	used, _, err := net.SplitHostPort(a.reachedAt(ctx, who))
	if err != nil {
		used = strings.Trim(a.reachedAt(ctx, who), "[]")
	}
	list := []string{used}
	for _, other := range a.cfg.Hub.Overview(ctx).Addresses {
		if !slices.Contains(list, other) {
			list = append(list, other)
		}
	}
	return list
}

// proxies lists the open SIP ports, safest transport first; one that is bound to every address at
// each host.
func proxies(open []ctl.Listener, hosts []string) []Proxy {
	list := []Proxy{}
	for _, transport := range []string{"tls", "tcp", "udp"} {
		for _, l := range open {
			if l.Transport != transport {
				continue
			}
			at := hosts
			if bound, one := oneAddress(l.Address.Addr().String()); one {
				at = []string{bound}
			}
			for _, host := range at {
				p := Proxy{Transport: transport, Host: host, Port: l.Address.Port()}
				p.URI = fmt.Sprintf("sip:%s:%d;transport=%s", bracketed(host), p.Port, transport)
				if !slices.Contains(list, p) {
					list = append(list, p)
				}
			}
		}
	}
	return list
}

func (s Settings) lines() string {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-13s %s\n", name+":", value)
		}
	}
	line("SIP address", s.AoR)
	line("User", s.User)
	line("Password", s.Password)
	line("Domain", s.Domain)
	line("Display name", s.DisplayName)
	for _, p := range s.Proxies {
		line("Proxy", p.Host+" port "+strconv.Itoa(int(p.Port))+" "+strings.ToUpper(p.Transport))
	}
	line("File server", s.FileServer)
	return b.String()
}

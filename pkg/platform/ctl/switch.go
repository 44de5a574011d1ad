package ctl

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"
)

// SwitchStatus is what switchd says of itself.
type SwitchStatus struct {
	Version       string     `json:"version"`
	Started       time.Time  `json:"started"`
	Domain        string     `json:"domain"` // of the accounts; "" until set-up
	Listeners     []Listener `json:"listeners"`
	Users         int        `json:"users"`
	Registrations int        `json:"registrations"` // bindings, not users
	Calls         int        `json:"calls"`
	Messages      int        `json:"messages"`       // that no device of their recipient has yet
	RecordsQueued int        `json:"records_queued"` // written, not yet taken by the archive
	Alarms        []Alarm    `json:"alarms,omitempty"`
}

// Listener is one open SIP port.
type Listener struct {
	Transport string         `json:"transport"` // "udp", "tcp", "tls"
	Address   netip.AddrPort `json:"address"`
}

// Alarm is something that an admin must hear of.
type Alarm struct {
	Code  string    `json:"code"`
	Text  string    `json:"text"`
	Cure  string    `json:"cure"`
	Since time.Time `json:"since"`
}

// UserSpec is what an admin decides about a user.
type UserSpec struct {
	Name        string   `json:"name"`    // user part of the address of record
	Numbers     []string `json:"numbers"` // what others dial
	DisplayName string   `json:"display_name"`
	Email       string   `json:"email"`
	Phone       string   `json:"phone"`
	Disabled    bool     `json:"disabled"`
	Language    string   `json:"language,omitempty"` // of what the box says to the user: "en" or "hi"; "" is the box's own
	Volume      int      `json:"volume,omitempty"`   // of it, in dB
}

// User is an account as others may see it: never a secret.
type User struct {
	UserSpec
	ID         string    `json:"id"`
	Revision   uint64    `json:"revision"` // grows with each change; guards against overwriting another's
	Created    time.Time `json:"created"`
	Changed    time.Time `json:"changed"`
	Algorithms []string  `json:"algorithms"` // of the stored HA1: "MD5", "SHA-256"
	Devices    int       `json:"devices"`    // bindings now
}

// Secret sets a user's SIP secret: a password, or an HA1 = MD5(user:domain:password), or, with
// both empty, one that the box generates.
type Secret struct {
	Password string `json:"password,omitempty"`
	HA1      string `json:"ha1,omitempty"`
}

// NewUser asks for an account.
type NewUser struct {
	UserSpec
	Secret Secret `json:"secret"`
}

// UserWithSecret is a user with the password that was generated for it, shown this once.
type UserWithSecret struct {
	User
	Password string `json:"password,omitempty"`
	HA1      string `json:"ha1,omitempty"` // of the generated password, for provisioning
}

// DeviceSecret is the secret of one phone of a user, told this once.
type DeviceSecret struct {
	Login    string `json:"login"` // user name in its digests
	Password string `json:"password"`
	HA1      string `json:"ha1"`
}

// UserQuery selects users: by a part of name, number, display name or e-mail.
type UserQuery struct {
	Text  string
	After string // name of the last user of the page before
	Limit int
}

// UserPage is a page of users in the order of their names.
type UserPage struct {
	Users []User `json:"users"`
	Next  string `json:"next,omitempty"` // After of the next page
	Total int    `json:"total"`
}

// ImportResult counts what an import did. With a fault anywhere nothing is changed.
type ImportResult struct {
	Added   int `json:"added"`
	Changed int `json:"changed"`
	Weak    int `json:"weak"` // passwords shorter than the page would take
}

// Registration is one binding.
type Registration struct {
	ID         string         `json:"id"`
	User       string         `json:"user"`    // name
	UserID     string         `json:"user_id"` // id
	AoR        string         `json:"aor"`
	Contact    string         `json:"contact"`
	Instance   string         `json:"instance,omitempty"` // +sip.instance
	Source     netip.AddrPort `json:"source"`
	Transport  string         `json:"transport"`
	UserAgent  string         `json:"user_agent,omitempty"`
	Q          float64        `json:"q"`
	Registered time.Time      `json:"registered"` // first, since it was last away
	Refreshed  time.Time      `json:"refreshed"`
	Expires    time.Time      `json:"expires"`
	Features   []string       `json:"features,omitempty"` // "gruu", "outbound", "path", "push"
	Asleep     bool           `json:"asleep,omitempty" doc:"its time is over, and it can be woken"`
	Push       *PushHealth    `json:"push,omitempty"` // of one that says how it is woken
}

// Call states as they are shown.
const (
	CallRinging = "ringing"
	CallUp      = "up"
	CallHeld    = "held"
	CallEnding  = "ending"
)

// LiveCall is a call that is not over.
type LiveCall struct {
	ID       string    `json:"id"`
	State    string    `json:"state"`
	Caller   LiveParty `json:"caller"`
	Callee   LiveParty `json:"callee"`
	Dialed   string    `json:"dialed"`
	Start    time.Time `json:"start"`
	Answered time.Time `json:"answered,omitzero"`
	Codecs   []string  `json:"codecs,omitempty"`
	Streams  int       `json:"streams"`
	// Recording is one of the Recording states; Recordable tells that it may be asked for.
	Recording  string `json:"recording,omitempty" enum:",asked,on,paused"`
	Recordable bool   `json:"recordable,omitempty"`
}

// LiveParty is one side of a live call.
type LiveParty struct {
	User      string         `json:"user,omitempty"`
	Number    string         `json:"number,omitempty"`
	Name      string         `json:"name,omitempty"`
	Source    netip.AddrPort `json:"source,omitzero"`
	Transport string         `json:"transport,omitempty"`
	UserAgent string         `json:"user_agent,omitempty"`
}

// SwitchEvent is one line of switchd's event stream. One field is set.
type SwitchEvent struct {
	Registered   *Registration `json:"registered,omitempty"`   // new, refreshed with a change, or changed
	Unregistered *Registration `json:"unregistered,omitempty"` // removed or expired
	Call         *LiveCall     `json:"call,omitempty"`         // new or changed
	CallEnded    string        `json:"call_ended,omitempty"`   // its id
	UserChanged  string        `json:"user_changed,omitempty"` // its id
	Banned       *Ban          `json:"banned,omitempty"`       // a source, until then; netd drops what it sends. A time that has come lifts a ban
	Alarm        *Alarm        `json:"alarm,omitempty"`
	AlarmEnded   string        `json:"alarm_ended,omitempty"` // its code
	Alive        bool          `json:"alive,omitempty"`       // nothing happened for a while
}

// ChatPolicy is what a site's admin decides about messages.
type ChatPolicy struct {
	KeepDays int `json:"keep_days"` // how long a message waits for its recipient
}

// NewMessage is a message that a program sends in the name of a user.
type NewMessage struct {
	From        string   `json:"from"` // name, number or URI of a user
	To          string   `json:"to"`   // the same
	ContentType string   `json:"content_type"`
	Body        []byte   `json:"body"`
	Key         string   `json:"key"`               // of the program: what comes again with it is sent once; "" for none
	Token       string   `json:"token"`             // id of the API token that sends it: each has keys of its own
	TokenName   string   `json:"token_name"`        // for the record
	Senders     []string `json:"senders,omitempty"` // names of the users that it may be from; none is all
}

// SentMessage is a message that the box has taken: it is on disk.
type SentMessage struct {
	ID        string    `json:"id" doc:"of its record: GET /messages/{id} tells what became of it"`
	CallID    string    `json:"call_id" doc:"what receipts name, where the message has no Message-ID"`
	MessageID string    `json:"message_id,omitempty" doc:"imdn.Message-ID, if the message has one"`
	From      string    `json:"from" doc:"name of the user"`
	To        string    `json:"to" doc:"name of the user"`
	At        time.Time `json:"at" doc:"when the box took it"`
	Status    string    `json:"status" doc:"what became of it: stored for a new one"`
	Again     bool      `json:"again" doc:"it was sent before with this Idempotency-Key, and is not sent again"`
}

// TakenMessage tells that a program has a message in the place of its recipient's phone.
type TakenMessage struct {
	ID        string `json:"id"` // of its record
	CallID    string `json:"call_id"`
	Sender    string `json:"sender"`    // name of the user
	Recipient string `json:"recipient"` // name of the user
	By        string `json:"by"`        // what the program is called
}

// Domain is the realm of all accounts. It is set once: every HA1 contains it.
type Domain struct {
	Domain string `json:"domain"`
}

// CertificateRequest asks the box's CA for a server certificate. The CA names the box's addresses.
type CertificateRequest struct {
	PublicKey []byte   `json:"public_key"` // PKIX, DER
	Names     []string `json:"names"`      // further DNS names or addresses
}

// Certificate is a chain in PEM, leaf first.
type Certificate struct {
	PEM string `json:"pem"`
}

// Switch is a client of switchd.
type Switch struct{ *Client }

// NewSwitch returns a client of the switchd that serves socket.
func NewSwitch(socket string) Switch { return Switch{NewClient("switchd", socket)} }

// Status asks how switchd is.
func (s Switch) Status(ctx context.Context) (st SwitchStatus, err error) {
	return st, s.Do(ctx, http.MethodGet, "/v1/status", nil, &st)
}

// SetDomain sets the accounts' domain; it can be done once.
func (s Switch) SetDomain(ctx context.Context, d Domain) error {
	return s.Do(ctx, http.MethodPut, "/v1/domain", d, nil)
}

// Users returns a page of users.
func (s Switch) Users(ctx context.Context, q UserQuery) (page UserPage, err error) {
	v := url.Values{"text": {q.Text}, "after": {q.After}, "limit": {strconv.Itoa(q.Limit)}}
	return page, s.Do(ctx, http.MethodGet, "/v1/users?"+v.Encode(), nil, &page)
}

// User returns the user with this id.
func (s Switch) User(ctx context.Context, id string) (u User, err error) {
	return u, s.Do(ctx, http.MethodGet, "/v1/users/"+url.PathEscape(id), nil, &u)
}

// AddUser makes an account.
func (s Switch) AddUser(ctx context.Context, in NewUser) (u UserWithSecret, err error) {
	return u, s.Do(ctx, http.MethodPost, "/v1/users", in, &u)
}

// ChangeUser replaces what an admin decides about the user, if its revision is still this one.
func (s Switch) ChangeUser(ctx context.Context, id string, revision uint64, in UserSpec) (u User, err error) {
	path := "/v1/users/" + url.PathEscape(id) + "?revision=" + strconv.FormatUint(revision, 10)
	return u, s.Do(ctx, http.MethodPut, path, in, &u)
}

// RemoveUser removes the account, its bindings and its live calls.
func (s Switch) RemoveUser(ctx context.Context, id string) error {
	return s.Do(ctx, http.MethodDelete, "/v1/users/"+url.PathEscape(id), nil, nil)
}

// AddDevice gives a user one more secret, for one phone.
func (s Switch) AddDevice(ctx context.Context, id string) (d DeviceSecret, err error) {
	return d, s.Do(ctx, http.MethodPost, "/v1/users/"+url.PathEscape(id)+"/devices", nil, &d)
}

// RemoveDevice ends the secret of a phone, and what it has registered.
func (s Switch) RemoveDevice(ctx context.Context, id, login string) error {
	return s.Do(ctx, http.MethodDelete, "/v1/users/"+url.PathEscape(id)+"/devices/"+url.PathEscape(login), nil, nil)
}

// ResetSecret gives the user a new secret; its devices must sign in again.
func (s Switch) ResetSecret(ctx context.Context, id string, in Secret) (u UserWithSecret, err error) {
	return u, s.Do(ctx, http.MethodPost, "/v1/users/"+url.PathEscape(id)+"/secret", in, &u)
}

// ImportUsers adds or changes the users of a CSV file with a header row: user or number, password
// or ha1, and optionally name, email, phone.
func (s Switch) ImportUsers(ctx context.Context, csv io.Reader) (res ImportResult, err error) {
	return res, s.Do(ctx, http.MethodPost, "/v1/users/import", csv, &res)
}

// CheckUsers tells what ImportUsers would do with the file, and every fault in it, and changes nothing.
func (s Switch) CheckUsers(ctx context.Context, csv io.Reader) (res ImportResult, err error) {
	return res, s.Do(ctx, http.MethodPost, "/v1/users/import?check=true", csv, &res)
}

// Registrations returns all bindings.
func (s Switch) Registrations(ctx context.Context) (regs []Registration, err error) {
	return regs, s.Do(ctx, http.MethodGet, "/v1/registrations", nil, &regs)
}

// Calls returns all live calls.
func (s Switch) Calls(ctx context.Context) (calls []LiveCall, err error) {
	return calls, s.Do(ctx, http.MethodGet, "/v1/calls", nil, &calls)
}

// HangUp ends a live call; by is the admin's name for the record.
func (s Switch) HangUp(ctx context.Context, id, by string) error {
	return s.Do(ctx, http.MethodDelete, "/v1/calls/"+url.PathEscape(id)+"?by="+url.QueryEscape(by), nil, nil)
}

// LiftBan lets a source be heard again: an address, or a network of 64 bits of IPv6.
func (s Switch) LiftBan(ctx context.Context, source string) error {
	return s.Do(ctx, http.MethodDelete, "/v1/bans?source="+url.QueryEscape(source), nil, nil)
}

// ChatPolicy returns what is decided about messages.
func (s Switch) ChatPolicy(ctx context.Context) (p ChatPolicy, err error) {
	return p, s.Do(ctx, http.MethodGet, "/v1/chat/policy", nil, &p)
}

// SetChatPolicy changes it, for messages that come from now on.
func (s Switch) SetChatPolicy(ctx context.Context, p ChatPolicy) error {
	return s.Do(ctx, http.MethodPut, "/v1/chat/policy", p, nil)
}

// SendMessage sends a message in the name of a user. Without error it is on disk.
func (s Switch) SendMessage(ctx context.Context, in NewMessage) (sent SentMessage, err error) {
	return sent, s.Do(ctx, http.MethodPost, "/v1/messages", in, &sent)
}

// TakeMessage tells that a program has a message in the place of its recipient's phone.
func (s Switch) TakeMessage(ctx context.Context, in TakenMessage) error {
	return s.Do(ctx, http.MethodPost, "/v1/messages/taken", in, nil)
}

// Events calls each for every event until ctx ends or switchd goes away. The stream starts with
// a Registered for each binding, a Call for each live call and a Banned for each ban.
func (s Switch) Events(ctx context.Context, each func(SwitchEvent) error) error {
	return s.Listen(ctx, "/v1/events", func(line json.RawMessage) error {
		var ev SwitchEvent
		if err := json.Unmarshal(line, &ev); err != nil {
			return err
		}
		return each(ev)
	})
}

// Sign asks the box's CA for a server certificate.
func (s Switch) Sign(ctx context.Context, in CertificateRequest) (c Certificate, err error) {
	return c, s.Do(ctx, http.MethodPost, "/v1/certificates", in, &c)
}

// CA returns the box's CA certificate.
func (s Switch) CA(ctx context.Context) (c Certificate, err error) {
	return c, s.Do(ctx, http.MethodGet, "/v1/ca", nil, &c)
}

package push

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/sip/pn"
)

// Apple's servers.
const (
	appleHost    = "https://api.push.apple.com"
	appleDevHost = "https://api.sandbox.push.apple.com"
	// appleToken is how long a token is used: Apple takes none that is older than an hour, and
	// refuses who makes a new one more often than each 20 minutes.
	appleToken = 45 * time.Minute
	// appleID is how long Apple's ids of keys and teams are.
	appleID = 10
)

// APNSConfig is what an admin gets from Apple.
type APNSConfig struct {
	Key    []byte // .p8 file
	KeyID  string
	Team   string
	Client *http.Client // speaks HTTP/2
	Host   string       // "" is Apple's
}

// APNS wakes Apple's devices.
type APNS struct {
	cfg APNSConfig
	key crypto.Signer

	mu    sync.Mutex // guards what follows
	token string
	made  time.Time
}

// NewAPNS returns a sender to Apple's servers.
func NewAPNS(cfg APNSConfig) (*APNS, error) {
	key, err := parseKey(cfg.Key)
	var faults []problem.Fault
	if _, ec := key.(*ecdsa.PrivateKey); err != nil || !ec {
		faults = append(faults, problem.Fault{Path: "key", Rule: "the .p8 file as Apple gave it", Cure: "make a key for push notifications at Apple's page for developers"})
	}
	for _, id := range []struct{ path, value string }{{"key_id", cfg.KeyID}, {"team", cfg.Team}} {
		if len(id.value) != appleID {
			faults = append(faults, problem.Fault{Path: id.path, Value: id.value, Rule: fmt.Sprint(appleID, " characters"), Cure: "look it up at Apple's page for developers"})
		}
	}
	if err := problem.Fields("push.apns", faults); err != nil {
		return nil, err
	}
	return &APNS{cfg: cfg, key: key}, nil
}

// authorization returns the provider's token, a new one when the old one is used up.
func (a *APNS) authorization() (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.token != "" && time.Since(a.made) < appleToken {
		return a.token, nil
	}
	now := time.Now()
	token, err := signed(a.key, a.cfg.KeyID, map[string]any{"iss": a.cfg.Team, "iat": now.Unix()})
	if err == nil {
		a.token, a.made = "bearer "+token, now
	}
	return a.token, err
}

// drop forgets a token that Apple does not take any more.
func (a *APNS) drop(token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.token == token {
		a.token = ""
	}
}

// aps is what Apple reads of a note, and what Linphone does.
type aps struct {
	LocKey  string   `json:"loc-key"`
	LocArgs []string `json:"loc-args"`
	CallID  string   `json:"call-id"`
	UUID    string   `json:"uuid"`
	Sound   string   `json:"sound,omitempty"`
	Content int      `json:"content-available,omitempty"`
	Mutable int      `json:"mutable-content,omitempty"`
	Alert   *alert   `json:"alert,omitempty"`
}

type alert struct {
	LocKey  string   `json:"loc-key"`
	LocArgs []string `json:"loc-args"`
}

// Send posts the note to the device's token.
func (a *APNS) Send(ctx context.Context, d Device, n Note) error {
	token, ok := d.Token(n.Use)
	topic, known := d.Topic(n.Use)
	if !ok || !known {
		return ErrUnable
	}
	auth, err := a.authorization()
	if err != nil {
		return fmt.Errorf("sign for Apple: %w", err)
	}
	header := map[string]string{
		"authorization": auth, "apns-topic": topic, "apns-push-type": "alert", "apns-priority": "10", "apns-expiration": strconv.FormatInt(n.Until.Unix(), 10),
	}
	if n.Use == pn.Call {
		header["apns-push-type"] = "voip"
	}
	body := map[string]any{
		"aps": appleNote(d, n), "from-uri": n.From, "display-name": n.FromName, "call-id": n.CallID, "pn_ttl": int(time.Until(n.Until).Seconds()),
	}
	status, text, err := post(ctx, a.cfg.Client, a.host(d)+"/3/device/"+url.PathEscape(token), header, body)
	if err != nil {
		return fmt.Errorf("ask Apple: %w", err)
	}
	return a.judge(status, text, auth)
}

func (a *APNS) host(d Device) string {
	switch {
	case a.cfg.Host != "":
		return a.cfg.Host
	case d.Provider == pn.APNSDev:
		return appleDevHost
	}
	return appleHost
}

// appleNote is the text that the app shows, by its own keys; Linphone's where it names none.
func appleNote(d Device, n Note) aps {
	who := n.FromName
	if who == "" {
		who = n.From
	}
	text := aps{LocKey: textKey(d, n), LocArgs: []string{who}, CallID: n.CallID, UUID: n.ID}
	if n.Use == pn.Call {
		text.Sound = d.CallSound
		return text
	}
	text.Sound, text.Mutable = d.MessageSound, 1 // the app puts the message in the text's place
	text.Alert = &alert{LocKey: text.LocKey, LocArgs: text.LocArgs}
	return text
}

func textKey(d Device, n Note) string {
	key, standard := d.MessageText, "IM_MSG"
	switch {
	case n.Use == pn.Call:
		key, standard = d.CallText, "IC_MSG"
	case n.Group:
		key, standard = d.GroupText, "GC_MSG"
	}
	if key == "" {
		return standard
	}
	return key
}

func (a *APNS) judge(status int, text []byte, auth string) error {
	var why struct{ Reason string }
	_ = json.Unmarshal(text, &why) // then it gives no reason
	switch why.Reason {
	case "ExpiredProviderToken":
		a.drop(auth)
		return fmt.Errorf("ask Apple: %s", why.Reason) // the next try has a new one
	case "BadDeviceToken", "Unregistered", "DeviceTokenNotForTopic":
		status = http.StatusGone
	}
	return judge(status, why.Reason)
}

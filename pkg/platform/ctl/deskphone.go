package ctl

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// DeskPhoneSpec binds a desk phone to a user, and opens the time in which it may take its settings.
type DeskPhoneSpec struct {
	User      string `json:"user" doc:"id of the user whose phone it is"`
	Maker     string `json:"maker,omitempty" enum:",linphone,yealink,grandstream,polycom,snom" doc:"which form its settings have; empty for what the phone's first request looks like"`
	Transport string `json:"transport,omitempty" enum:",tls,tcp,udp" doc:"of SIP; empty for the safest that the box serves"`
	Hours     int    `json:"hours,omitempty" minimum:"0" maximum:"168" doc:"for how long the phone may take its settings, once; 0 is a day"`
}

// DeskPhone is a phone that is bound to a user by its hardware address.
type DeskPhone struct {
	MAC       string     `json:"mac"` // as 00:11:22:33:44:55
	User      string     `json:"user" doc:"id of the user whose phone it is"`
	Maker     string     `json:"maker,omitempty"`
	Transport string     `json:"transport,omitempty"`
	Open      time.Time  `json:"open,omitzero" doc:"until when it may take its settings; absent once it has"`
	Taken     time.Time  `json:"taken,omitzero" doc:"when it last took them"`
	From      netip.Addr `json:"from,omitzero" doc:"address that took them"`
	Agent     string     `json:"agent,omitempty" doc:"what the phone called itself then"`
	Plain     bool       `json:"plain,omitempty" doc:"they went over HTTP, which others on the network can read"`
	Login     string     `json:"login,omitempty" doc:"user name of the secret that this phone has alone"`
}

// DeskPhoneList is all that are bound.
type DeskPhoneList struct {
	Phones  []DeskPhone `json:"phones" nullable:"false"`
	Refused uint64      `json:"refused" doc:"requests for settings of phones that are not bound or not open, since the box started"`
}

// DeskPhoneChange is what the command line asks for, with who asks.
type DeskPhoneChange struct {
	DeskPhoneSpec
	Who string `json:"who"`
}

// DeskPhones lists the desk phones of a user, or all when user is "".
func (a Admin) DeskPhones(ctx context.Context, user string) (l DeskPhoneList, err error) {
	return l, a.Do(ctx, http.MethodGet, "/v1/desk-phones?"+url.Values{"user": {user}}.Encode(), nil, &l)
}

// BindDeskPhone binds a phone and opens its time.
func (a Admin) BindDeskPhone(ctx context.Context, mac string, in DeskPhoneChange) (p DeskPhone, err error) {
	return p, a.Do(ctx, http.MethodPut, "/v1/desk-phones/"+url.PathEscape(mac), in, &p)
}

// RemoveDeskPhone forgets a phone and ends its secret.
func (a Admin) RemoveDeskPhone(ctx context.Context, mac, who string) error {
	return a.Do(ctx, http.MethodDelete, "/v1/desk-phones/"+url.PathEscape(mac)+"?"+url.Values{"who": {who}}.Encode(), nil, nil)
}

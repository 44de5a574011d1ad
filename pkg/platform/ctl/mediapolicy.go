package ctl

import (
	"context"
	"net/http"

	"github.com/coraltele/sanchar/pkg/platform/conf"
)

// What a policy says of encryption.
const (
	EncryptionRequired  = "required"  // a call that cannot be encrypted is refused
	EncryptionPreferred = "preferred" // it is encrypted where the device can
	EncryptionOff       = "off"
)

// What a policy says of the way that media takes.
const (
	PathRelay  = "relay"  // always through the box
	PathDirect = "direct" // between the parties where they find a way, else through the box
)

// What a policy says of ZRTP, by which parties key end to end: the box can neither hear nor record.
const (
	ZRTPPass   = "pass"
	ZRTPRefuse = "refuse"
)

// What may be on or off.
const (
	On  = "on"
	Off = "off"
)

// MediaRules are how a party's calls are encrypted, what way their media takes and what they are of.
// Those of a user leave out what is as at the site.
type MediaRules struct {
	Encryption  string   `json:"encryption,omitempty" doc:"between devices and the box: required, preferred or off"`
	Kinds       []string `json:"kinds,omitempty" doc:"of encryption, in the order in which a device is asked for them: dtls, sdes"`
	Suites      []string `json:"suites,omitempty" doc:"of SDES, in their order: AES_CM_128_HMAC_SHA1_80, AES_CM_128_HMAC_SHA1_32, AES_256_CM_HMAC_SHA1_80, AES_256_CM_HMAC_SHA1_32, AEAD_AES_128_GCM, AEAD_AES_256_GCM"`
	Path        string   `json:"path,omitempty" doc:"relay: media comes through the box; direct: it goes between the parties where they find a way"`
	Codecs      []string `json:"codecs,omitempty" doc:"of sound, in the order in which they are offered, for instance opus, G722, PCMA, PCMU; none leaves it to the caller"`
	Transcoding string   `json:"transcoding,omitempty" doc:"on: parties that share no codec talk through the box; off: their call fails"`
	Video       string   `json:"video,omitempty" doc:"on or off"`
	VideoKbits  uint32   `json:"video_kbits,omitempty" doc:"kbit/s of video at most; 0 is no limit"`
	ZRTP        string   `json:"zrtp,omitempty" doc:"pass: parties may key end to end, and such calls cannot be recorded; refuse: they may not"`
}

// MediaPolicy is what a site's admin decides about media.
type MediaPolicy struct {
	Site  MediaRules            `json:"site"`
	Users map[string]MediaRules `json:"users,omitempty" doc:"by name: what is other than at the site"`
	STUN  string                `json:"stun,omitempty" doc:"on: clients may ask the box for the address that they are seen at; off is how it begins"`
	TURN  string                `json:"turn,omitempty" doc:"on: users may relay media through the box with credentials that it makes; off is how it begins"`
}

// MediaPolicyState is the policy, and who said so.
type MediaPolicyState struct {
	MediaPolicy
	conf.Revision
}

// MediaPolicyChange replaces the policy if it is still of revision Was.
type MediaPolicyChange struct {
	Policy MediaPolicy `json:"policy"`
	Was    uint64      `json:"was"`
	Who    string      `json:"who"`
}

// MediaPolicy returns what is decided about media.
func (s Switch) MediaPolicy(ctx context.Context) (p MediaPolicyState, err error) {
	return p, s.Do(ctx, http.MethodGet, "/v1/media/policy", nil, &p)
}

// SetMediaPolicy changes it, for calls that come from now on.
func (s Switch) SetMediaPolicy(ctx context.Context, in MediaPolicyChange) (p MediaPolicyState, err error) {
	return p, s.Do(ctx, http.MethodPut, "/v1/media/policy", in, &p)
}

// Package mediapolicy keeps what the site decides about the media of calls: how they are encrypted,
// what way they take, of which codecs they are. A user's rules come before the site's; trunks have
// none, since there are none yet.
package mediapolicy

import (
	"log/slog"
	"slices"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/conf"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Policy is the document and who is in it. Its methods may be called from any goroutine.
type Policy struct {
	file *conf.File[ctl.MediaPolicy]
	user func(name string) bool
}

// Open reads the document at path. user says whether there is a user of a name.
func Open(path string, user func(name string) bool, log *slog.Logger) (*Policy, error) {
	file, err := conf.Open(path, conf.Schema[ctl.MediaPolicy]{Default: Default, Validate: faults}, log)
	if err != nil {
		return nil, err
	}
	return &Policy{file: file, user: user}, nil
}

// Settings are the document, to be watched.
func (p *Policy) Settings() conf.Watched { return p.file }

// Default is the policy of a new box: what can be encrypted is, and every phone can call.
func Default() ctl.MediaPolicy { return ctl.MediaPolicy{Site: site()} }

func site() ctl.MediaRules {
	return ctl.MediaRules{
		Encryption:  ctl.EncryptionPreferred,
		Kinds:       []string{string(ctl.DTLS), string(ctl.SDES)},
		Suites:      []string{"AEAD_AES_256_GCM", "AEAD_AES_128_GCM", "AES_256_CM_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_80"},
		Path:        ctl.PathRelay,
		Transcoding: ctl.On,
		Video:       ctl.On,
		ZRTP:        ctl.ZRTPPass,
	}
}

// Load returns the policy as it is.
func (p *Policy) Load() ctl.MediaPolicyState {
	policy, rev := p.file.Load()
	return ctl.MediaPolicyState{MediaPolicy: policy, Revision: rev}
}

// Save replaces the policy if it is right and nobody has changed it meanwhile.
func (p *Policy) Save(in ctl.MediaPolicyChange) (ctl.MediaPolicyState, error) {
	old, _ := p.file.Load()
	var strangers []problem.Fault
	for name := range in.Policy.Users {
		if _, known := old.Users[name]; !known && !p.user(name) { // one who was removed since may stay
			strangers = append(strangers, problem.Fault{Path: "users." + name, Value: name, Rule: "the name of a user", Cure: "correct the name, or add the user first"})
		}
	}
	if err := problem.Fields("media.policy", append(strangers, faultsIf(strangers, in.Policy)...)); err != nil {
		return ctl.MediaPolicyState{}, err
	}
	_, err := p.file.Save(in.Policy, in.Was, in.Who)
	return p.Load(), err
}

// faultsIf returns the document's own faults to stand beside others; without others the file tells.
func faultsIf(others []problem.Fault, policy ctl.MediaPolicy) []problem.Fault {
	if others == nil {
		return nil
	}
	return faults(policy)
}

// Rules are those of a user: what he has of his own, and the site's for the rest.
func (p *Policy) Rules(name string) ctl.MediaRules {
	policy, _ := p.file.Load()
	return merge(policy.Site, policy.Users[name])
}

// merge lays a user's rules over the site's. What both leave out is as on a new box.
func merge(rules, own ctl.MediaRules) ctl.MediaRules {
	base := site()
	for _, over := range [...]ctl.MediaRules{rules, own} {
		for _, f := range [...]struct{ dst, src *string }{
			{&base.Encryption, &over.Encryption},
			{&base.Path, &over.Path},
			{&base.Transcoding, &over.Transcoding},
			{&base.Video, &over.Video},
			{&base.ZRTP, &over.ZRTP},
		} {
			if *f.src != "" {
				*f.dst = *f.src
			}
		}
		for _, f := range [...]struct{ dst, src *[]string }{{&base.Kinds, &over.Kinds}, {&base.Suites, &over.Suites}, {&base.Codecs, &over.Codecs}} {
			if len(*f.src) > 0 {
				*f.dst = slices.Clone(*f.src)
			}
		}
		if over.VideoKbits != 0 {
			base.VideoKbits = over.VideoKbits
		}
	}
	return base
}

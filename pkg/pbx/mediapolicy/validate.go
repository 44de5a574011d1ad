package mediapolicy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Bounds of a policy.
const (
	maxUsers      = 50_000  // as many as there are accounts
	maxCodecs     = 16      // there are not so many of sound
	maxCodecName  = 32      // bytes
	minVideoKbits = 64      // less is a slide show
	maxVideoKbits = 100_000 // more is a slip
)

// faults returns all that is wrong with a policy.
func faults(p ctl.MediaPolicy) (all []problem.Fault) {
	if len(p.Users) > maxUsers {
		all = append(all, problem.Fault{Path: "users", Value: fmt.Sprint(len(p.Users)), Rule: fmt.Sprintf("at most %d", maxUsers), Cure: "make rules of the site of what is common"})
	}
	for field, value := range map[string]string{"stun": p.STUN, "turn": p.TURN} {
		if value != "" && value != ctl.On && value != ctl.Off {
			all = append(all, problem.Fault{Path: field, Value: value, Rule: "on or off", Cure: "choose one of them, or leave it out for off"})
		}
	}
	all = append(all, ruleFaults("site", p.Site)...)
	names := make([]string, 0, len(p.Users))
	for name := range p.Users {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		all = append(all, ruleFaults("users."+name, p.Users[name])...)
	}
	return all
}

func ruleFaults(path string, r ctl.MediaRules) (all []problem.Fault) {
	one := func(field, value string, allowed ...string) {
		if value != "" && !slices.Contains(allowed, value) {
			all = append(all, problem.Fault{Path: path + "." + field, Value: value, Rule: "one of " + strings.Join(allowed, ", "), Cure: "choose one of them, or leave it out"})
		}
	}
	one("encryption", r.Encryption, ctl.EncryptionRequired, ctl.EncryptionPreferred, ctl.EncryptionOff)
	one("path", r.Path, ctl.PathRelay, ctl.PathDirect)
	one("transcoding", r.Transcoding, ctl.On, ctl.Off)
	one("video", r.Video, ctl.On, ctl.Off)
	one("zrtp", r.ZRTP, ctl.ZRTPPass, ctl.ZRTPRefuse)
	all = append(all, listFaults(path+".kinds", r.Kinds, []string{string(ctl.DTLS), string(ctl.SDES)})...)
	all = append(all, listFaults(path+".suites", r.Suites, suites())...)
	all = append(all, codecFaults(path+".codecs", r.Codecs)...)
	if r.VideoKbits != 0 && (r.VideoKbits < minVideoKbits || r.VideoKbits > maxVideoKbits) {
		all = append(all, problem.Fault{
			Path: path + ".video_kbits", Value: fmt.Sprint(r.VideoKbits), Rule: fmt.Sprintf("%d to %d, or 0 for no limit", minVideoKbits, maxVideoKbits), Cure: "correct it",
		})
	}
	return all
}

// suites are those that can be chosen (RFC 4568 §6.2, RFC 6188 §4, RFC 7714 §14).
func suites() []string {
	return []string{
		"AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AES_256_CM_HMAC_SHA1_80", "AES_256_CM_HMAC_SHA1_32",
		"AEAD_AES_128_GCM", "AEAD_AES_256_GCM",
	}
}

func listFaults(path string, list, allowed []string) (all []problem.Fault) {
	for i, v := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		if !slices.Contains(allowed, v) {
			all = append(all, problem.Fault{Path: at, Value: short(v), Rule: "one of " + strings.Join(allowed, ", "), Cure: "choose one of them"})
		} else if slices.Contains(list[:i], v) {
			all = append(all, problem.Fault{Path: at, Value: v, Rule: "each once", Cure: "remove the double"})
		}
	}
	return all
}

func codecFaults(path string, list []string) (all []problem.Fault) {
	if len(list) > maxCodecs {
		all = append(all, problem.Fault{Path: path, Value: fmt.Sprint(len(list)), Rule: fmt.Sprintf("at most %d", maxCodecs), Cure: "name fewer"})
	}
	for i, v := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		if v == "" || len(v) > maxCodecName || strings.ContainsFunc(v, notToken) {
			all = append(all, problem.Fault{Path: at, Value: short(v), Rule: "the name of an encoding as in SDP", Cure: "write for instance opus, G722, PCMA or PCMU"})
		} else if slices.ContainsFunc(list[:i], func(o string) bool { return strings.EqualFold(o, v) }) {
			all = append(all, problem.Fault{Path: at, Value: v, Rule: "each once", Cure: "remove the double"})
		}
	}
	return all
}

// notToken reports what may not stand in an encoding's name (RFC 8866 §9).
func notToken(c rune) bool {
	return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-_.+", c))
}

func short(s string) string {
	if len(s) > 60 {
		return s[:60] + "..."
	}
	return s
}

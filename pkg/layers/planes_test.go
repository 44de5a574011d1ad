package layers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// plane is a folder of pkg. A package imports planes of a lower rank, and in its own plane only
// what stands earlier in the line.
type plane struct {
	rank int
	line []string
	pure bool // no socket, file, goroutine or clock
}

func planes() map[string]plane {
	return map[string]plane{
		"base": {rank: 1, line: []string{"mailbox", "fsx", "ids", "pack", "problem", "slogx"}},
		"sip":  {rank: 2, pure: true, line: []string{"wire", "aor", "pn", "digest", "sdp", "gruu", "checked", "xmltree", "mime", "cpim", "imdn", "composing", "ftxml", "im", "dtmfinfo"}},
		"rtp": {rank: 2, pure: true, line: []string{
			"header", "rtcp", "stats",
			"g711", "g722", "opus", "resample", "plc", "jitter", "tone", "dtmf", "wav", "oggopus", "webm", "codec",
			"bits", "avc", "av1", "mp4",
		}},
		"record": {rank: 2, pure: true},
		"platform": {rank: 3, line: []string{
			"tpm", "copies", "store", "journal", "outbox", "conf", "notify", "supervise", "udpio", "seal", "pki", "ctl",
		}},
		"pbx": {rank: 4, line: []string{
			"push", "account", "edge", "registrar", "dialplan", "recording", "mediapolicy", "terms", "call", "chat",
		}},
		"media": {rank: 4, line: []string{
			"port", "stun", "ice", "secure", "relay", "tap", "work", "quality", "offload", "reel", "sound", "transcode", "develop", "recorder", "courier", "turn", "session",
		}},
		"archive": {rank: 4, line: []string{"search", "records", "ingest", "vault", "recordings", "scan", "exchange", "hooks"}},
		"network": {rank: 4, line: []string{
			"netcfg", "workers", "dhcpc", "health", "netplan", "netmon", "ingress", "mediapath", "netapply", "netman", "ruleset", "filter", "nft", "guard",
			"rate", "onlink", "dhcp", "dns", "ntp", "lldp", "mdns", "ra", "capture", "probe", "diag", "services",
		}},
		"firmware": {rank: 4, line: []string{
			"manifest", "layout",
			"oneshot", "early",
			"install", "slots", "health", "update",
			"setup",
		}},
		"console": {rank: 4, line: []string{"auth", "events", "provision", "web", "api"}},
		"daemon":  {rank: 5, line: []string{"switchd", "mediad", "admind", "netd"}},
		"layers":  {rank: 0},
		"testkit": {rank: 6, line: []string{ // helpers for tests; only tests import them
			"netdocs", "racing", "torture", "sipside", "fakeswitch", "tone", "texter", "netlab", "swtpm", "otherkernel", "capture", "linphone", "baresip", "sipp", "phone", "boxtest",
		}},
	}
}

// place finds the plane and the position in its line of an import path below pkg/.
func place(rel string) (name string, p plane, at int, err error) {
	name, rest, nested := strings.Cut(rel, "/")
	p, ok := planes()[name]
	switch {
	case !ok:
		return name, p, 0, fmt.Errorf("pkg/%s: plane %q is not in the table of pkg/layers", rel, name)
	case !nested || p.line == nil:
		return name, p, 0, nil
	}
	first, _, _ := strings.Cut(rest, "/")
	if at = slices.Index(p.line, first); at < 0 {
		return name, p, 0, fmt.Errorf("pkg/%s: %q is not in the line of plane %s in pkg/layers", rel, first, name)
	}
	return name, p, at, nil
}

func TestImportsGoDownOnly(t *testing.T) {
	for _, f := range sources(t) {
		if !strings.HasPrefix(f.path, "pkg/") {
			continue
		}
		for _, fault := range importFaults(f) {
			t.Error(fault)
		}
	}
}

func importFaults(f source) (faults []string) {
	name, p, at, err := place(f.dir[len("pkg/"):])
	if err != nil {
		return []string{err.Error()}
	}
	for _, imp := range f.imports {
		rel, ours := strings.CutPrefix(imp, module+"/pkg/")
		if !ours {
			if fault := outsideFault(p, name, imp); fault != "" && !f.test {
				faults = append(faults, f.path+": "+fault)
			}
			continue
		}
		toName, to, toAt, err := place(rel)
		switch {
		case err != nil:
			faults = append(faults, err.Error())
		case f.test && (toName == "testkit" || rel == f.dir[len("pkg/"):]):
		case toName == name && (toAt < at || strings.HasPrefix(f.dir, "pkg/"+rel+"/") || strings.HasPrefix("pkg/"+rel, f.dir+"/")):
		case toName != name && to.rank < p.rank:
		default:
			faults = append(faults, fmt.Sprintf("%s: imports pkg/%s, which is not below it", f.path, rel))
		}
	}
	return faults
}

// outsideFault says why a package of this plane may not import a package that is not ours.
func outsideFault(p plane, name, imp string) string {
	std := !strings.Contains(strings.SplitN(imp, "/", 2)[0], ".")
	switch {
	case name == "base" && !std:
		return "base uses the standard library only, not " + imp
	case p.pure && slices.Contains([]string{"os", "net", "net/http", "sync", "sync/atomic", "syscall", "os/exec"}, imp):
		return "a pure package does not import " + imp
	}
	return ""
}

package main

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/base/slogx"
)

// devOptions are the flags of "sanchar dev". Tests and benchmarks use them: they stay as they are.
type devOptions struct {
	data      string
	bind      string
	sip       int
	sips      int
	https     int
	phones    int
	ports     string
	domain    string
	users     string
	tokenFile string
	limits    string
	level     string
	given     map[string]bool // flags that stand on the command line
}

func parseDev(t *terminal, args []string) (*devOptions, error) {
	opt := &devOptions{given: map[string]bool{}}
	f := flag.NewFlagSet("dev", flag.ContinueOnError)
	f.StringVar(&opt.data, "data", "./var", "folder of all data")
	f.StringVar(&opt.bind, "bind", "0.0.0.0", "address to listen on; 0.0.0.0 is every address, of IPv6 too")
	f.IntVar(&opt.sip, "sip", 5060, "port of SIP over UDP and TCP")
	f.IntVar(&opt.sips, "sips", 5061, "port of SIP over TLS")
	f.IntVar(&opt.https, "https", 8443, "port of the page and the API")
	f.IntVar(&opt.phones, "phones", 0, "port where desk phones that are bound fetch their settings; 0 is none")
	f.StringVar(&opt.ports, "ports", "", "ports of media, as FIRST-LAST (else mediad's own choice)")
	f.StringVar(&opt.domain, "domain", "", "domain of the accounts (else the set-up page asks)")
	f.StringVar(&opt.users, "users", "", "CSV file of users to import, as the page takes it")
	f.StringVar(&opt.tokenFile, "admin-token-file", "", "file that an owner's API token is written to")
	f.StringVar(&opt.limits, "limits", "on", "limits per source: on, or off for load from one address")
	f.StringVar(&opt.level, "log", "info", "level of the daemons' logs: tracedata, trace, debug, info, warn or error")
	rest, err := parseMixed(t, f, args)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, usageError{"dev does not take " + strings.Join(rest, " ")}
	}
	f.Visit(func(fl *flag.Flag) { opt.given[fl.Name] = true })
	return opt, opt.complete()
}

// complete checks all options and makes paths absolute: the daemons need not share our folder.
func (o *devOptions) complete() error {
	var faults []problem.Fault
	fault := func(name, value, rule, cure string) {
		faults = append(faults, problem.Fault{Path: "--" + name, Value: value, Rule: rule, Cure: cure})
	}
	if _, err := netip.ParseAddr(o.bind); err != nil {
		fault("bind", o.bind, "an address of this machine", "for instance 127.0.0.1, or 0.0.0.0 for all")
	}
	for _, p := range o.portFlags() {
		if *p.port < 1 || *p.port > 65535 {
			fault(p.name, strconv.Itoa(*p.port), "a port between 1 and 65535", "for instance "+strconv.Itoa(p.standard))
		}
	}
	if o.ports != "" && !validRange(o.ports) {
		fault("ports", o.ports, "FIRST-LAST, both between 1024 and 65535", "for instance 20000-29999")
	}
	if o.limits != "on" && o.limits != "off" {
		fault("limits", o.limits, "on or off", "leave it out for on")
	}
	if _, err := slogx.ParseLevel(o.level); err != nil {
		fault("log", o.level, "tracedata, trace, debug, info, warn or error", "leave it out for info")
	}
	if o.users != "" {
		if st, err := os.Stat(o.users); err != nil || st.IsDir() {
			fault("users", o.users, "a file that can be read", "check its path")
		}
	}
	for _, path := range []*string{&o.data, &o.users, &o.tokenFile} {
		abs, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		if *path != "" {
			*path = abs
		}
	}
	if over := len(o.socket("switch")) + len(".4194304") - maxSocketPath; over > 0 { // a socket is made under its name and a pid
		fault("data", o.data, fmt.Sprintf("a path short enough for unix sockets, and this one is %d bytes too long", over), "choose a folder nearer to the root")
	}
	return problem.Fields("dev.options", faults)
}

// maxSocketPath is how long the path of a unix socket may be (unix(7)).
const maxSocketPath = 107

func (o *devOptions) runDir() string            { return filepath.Join(o.data, "run") }
func (o *devOptions) socket(name string) string { return filepath.Join(o.runDir(), name+".sock") }
func (o *devOptions) logFile() string           { return filepath.Join(o.data, "log", "sanchar.log") }

// everyAddress reports whether no single address is asked for.
func (o *devOptions) everyAddress() bool { return netip.MustParseAddr(o.bind).IsUnspecified() }

func validRange(text string) bool {
	first, last, ok := strings.Cut(text, "-")
	a, errA := strconv.ParseUint(first, 10, 16)
	b, errB := strconv.ParseUint(last, 10, 16)
	return ok && errA == nil && errB == nil && a >= 1024 && a < b
}

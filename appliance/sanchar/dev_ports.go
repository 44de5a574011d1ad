package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

// portFlag is one listening port, with the flag that sets it.
type portFlag struct {
	name     string
	port     *int
	standard int
	networks []string
}

func (o *devOptions) portFlags() []portFlag {
	return []portFlag{
		{"sip", &o.sip, 5060, []string{"udp", "tcp"}},
		{"sips", &o.sips, 5061, []string{"tcp"}},
		{"https", &o.https, 8443, []string{"tcp"}},
	}
}

// portSearch is how many ports after a standard one are tried.
const portSearch = 200

// choosePorts makes sure that the ports are free. In place of a standard port that is taken it
// chooses the next free one and says so; a port that was asked for is not replaced.
func (o *devOptions) choosePorts(say func(text string)) error {
	var faults []problem.Fault
	for _, p := range o.portFlags() {
		err := o.tryPort(p, *p.port)
		if err == nil {
			continue
		}
		if o.given[p.name] {
			faults = append(faults, problem.Fault{Path: "--" + p.name, Value: strconv.Itoa(*p.port), Rule: "a free port: " + whyTaken(err), Cure: "stop what uses it, or choose another"})
			continue
		}
		next, err := o.nextFree(p)
		if err != nil {
			return err
		}
		say(fmt.Sprintf("port %d is taken: --%s is %d this time", *p.port, p.name, next))
		*p.port = next
	}
	return problem.Fields("dev.ports", faults)
}

func (o *devOptions) nextFree(p portFlag) (int, error) {
	var err error
	for port := *p.port + 1; port <= *p.port+portSearch; port++ {
		if err = o.tryPort(p, port); err == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port for --%s after %d: %w", p.name, *p.port, err)
}

// errOther says that another flag has the port.
var errOther = errors.New("another flag has it")

// tryPort binds the port as a daemon will, for a moment.
func (o *devOptions) tryPort(p portFlag, port int) error {
	for _, other := range o.portFlags() {
		if other.name != p.name && *other.port == port {
			return errOther
		}
	}
	host := o.bind
	if o.everyAddress() {
		host = ""
	}
	at := net.JoinHostPort(host, strconv.Itoa(port))
	for _, network := range p.networks {
		var ln interface{ Close() error }
		var err error
		if network == "udp" {
			ln, err = net.ListenPacket(network, at)
		} else {
			ln, err = net.Listen(network, at)
		}
		if err == nil {
			err = ln.Close()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func whyTaken(err error) string {
	switch {
	case errors.Is(err, errOther):
		return err.Error()
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program has it"
	case errors.Is(err, syscall.EACCES):
		return "only root may have one below 1024"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "this machine does not have the address of --bind"
	}
	return err.Error()
}

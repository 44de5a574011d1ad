// Package peers starts the box, and the programs that it is compared with, side by side on loopback.
package peers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/coraltele/sanchar/appliance/bench/proc"
)

// Domain is that of all accounts.
const Domain = "pbx.test"

// Server is a running system under measurement: one program or several that work together.
type Server struct {
	Name string
	SIP  netip.AddrPort

	dir   string
	procs []*proc.Process
	ripe  time.Time      // before it, the programs may hang when they are told to end
	parts map[string]int // programs by name, and their process; a program's children count as it
}

func newServer(name string) *Server { return &Server{Name: name, parts: map[string]int{}} }

// Parts returns the names of the programs.
func (s *Server) Parts() []string { return slices.Sorted(maps.Keys(s.parts)) }

// PID returns the process of a part.
func (s *Server) PID(part string) int { return s.parts[part] }

// CPU returns the time that a part has used, children included.
func (s *Server) CPU(part string) (time.Duration, error) {
	pids, err := proc.Tree(s.parts[part])
	if err != nil {
		return 0, err
	}
	t, err := proc.CPU(pids)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", part, err)
	}
	return t, nil
}

// PSS returns the memory of a part, children included.
func (s *Server) PSS(part string) (int64, error) {
	pids, err := proc.Tree(s.parts[part])
	if err != nil {
		return 0, err
	}
	n, err := proc.PSS(pids)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", part, err)
	}
	return n, nil
}

// start starts a program.
func (s *Server) start(env []string, name string, args ...string) error {
	p, err := proc.Start(name, args, env)
	if err == nil {
		s.procs = append(s.procs, p)
		s.parts[p.Name] = p.PID()
	}
	return err
}

// Stop ends all programs, the latest first, and removes their files.
func (s *Server) Stop() error {
	var errs []error
	time.Sleep(time.Until(s.ripe))
	for _, p := range slices.Backward(s.procs) {
		errs = append(errs, p.Stop())
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

// failed stops what was started and says why a start failed, with what the parts wrote.
func (s *Server) failed(err error) error {
	var said strings.Builder
	for _, p := range s.procs {
		if text := p.Output(); text != "" {
			fmt.Fprintf(&said, "\n--- %s wrote:\n%s", p.Name, text)
		}
	}
	return errors.Join(fmt.Errorf("%s: %w%s", s.Name, err, said.String()), s.Stop())
}

// Loopback addresses that nobody else on the machine uses, so that all ports are free for media.
func boxAddress() netip.Addr      { return netip.AddrFrom4([4]byte{127, 88, 0, 1}) }
func kamailioAddress() netip.Addr { return netip.AddrFrom4([4]byte{127, 88, 0, 2}) }

// Phones is where the phones are.
func Phones() netip.Addr { return netip.AddrFrom4([4]byte{127, 88, 0, 3}) }

// Ports that are relayed on. After a call they rest for some seconds: 20,000 pairs let 1,000 calls
// a second begin and end for as long as it takes.
const mediaPorts = "10000-59999"

// firstPort is where free ports are looked for: below those for media.
const firstPort = 5060

// freePort returns a port that is free for UDP and TCP, and whose neighbour is free for TCP.
func freePort(addr netip.Addr, from uint16) (uint16, error) {
	for port := from; port < from+1000; port += 2 {
		if udpFree(netip.AddrPortFrom(addr, port)) && tcpFree(netip.AddrPortFrom(addr, port)) && tcpFree(netip.AddrPortFrom(addr, port+1)) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port at %s", addr)
}

func udpFree(at netip.AddrPort) bool {
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
	return err == nil && c.Close() == nil
}

func tcpFree(at netip.AddrPort) bool {
	l, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(at))
	return err == nil && l.Close() == nil
}

// startTime bounds the wait for a server that starts.
const startTime = 20 * time.Second

// askEvery is how often a server that starts is asked. More often would take the processor from it.
const askEvery = time.Millisecond

// answer asks the server by OPTIONS until it answers 200, and returns when that was.
func (s *Server) answer(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(s.SIP))
	if err != nil {
		return time.Time{}, err
	}
	defer c.Close()
	ended := s.procs[len(s.procs)-1].Ended()
	buf := make([]byte, 8<<10)
	for i := 0; ; i++ {
		_, _ = fmt.Fprintf(c, "OPTIONS sip:%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;rport;branch=z9hG4bKs%d\r\nMax-Forwards: 70\r\n"+
			"From: <sip:start@%s>;tag=1\r\nTo: <sip:%[1]s>\r\nCall-ID: start%[3]d\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
			s.SIP, c.LocalAddr(), i, Domain) // refused while nobody listens
		asked := time.Now()
		if err := c.SetReadDeadline(asked.Add(askEvery)); err != nil {
			return time.Time{}, err
		}
		n, err := c.Read(buf)
		if err == nil && strings.HasPrefix(string(buf[:n]), "SIP/2.0 200") {
			return time.Now(), nil
		}
		select {
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("no answer to OPTIONS: %w", ctx.Err())
		case <-ended:
			return time.Time{}, proc.ErrEnded
		case <-time.After(time.Until(asked.Add(askEvery))):
		}
	}
}

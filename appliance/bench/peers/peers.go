// Package peers starts the box, and the programs that it is compared with, side by side on loopback.
package peers

import (
	"context"
	"errors"
	"fmt"
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
	parts []*proc.Process
}

// CPU returns the time that the parts of these names have used, children included; of all parts if
// none is named.
func (s *Server) CPU(names ...string) (sum time.Duration, err error) {
	err = s.each(names, func(pids []int) error {
		t, err := proc.CPU(pids)
		sum += t
		return err
	})
	return sum, err
}

// PSS returns the memory of the parts, as CPU does.
func (s *Server) PSS(names ...string) (sum int64, err error) {
	err = s.each(names, func(pids []int) error {
		n, err := proc.PSS(pids)
		sum += n
		return err
	})
	return sum, err
}

func (s *Server) each(names []string, do func(pids []int) error) error {
	for _, p := range s.parts {
		if len(names) > 0 && !slices.Contains(names, p.Name) {
			continue
		}
		pids, err := p.Tree()
		if err == nil {
			err = do(pids)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	return nil
}

// Part returns a part by its name; nil if there is none.
func (s *Server) Part(name string) *proc.Process {
	for _, p := range s.parts {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// start starts one part.
func (s *Server) start(env []string, name string, args ...string) error {
	p, err := proc.Start(name, args, env)
	if err == nil {
		s.parts = append(s.parts, p)
	}
	return err
}

// Stop ends all parts, the latest first, and removes their files.
func (s *Server) Stop() error {
	var errs []error
	for _, p := range slices.Backward(s.parts) {
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
	for _, p := range s.parts {
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
	ended := s.parts[len(s.parts)-1].Ended()
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

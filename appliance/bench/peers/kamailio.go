package peers

import (
	"context"
	_ "embed"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/coraltele/sanchar/appliance/bench/sipload"
)

//go:embed kamailio.cfg
var kamailioConfig string

// Names of the parts of Kamailio's side.
const (
	Kamailio  = "kamailio"
	RTPEngine = "rtpengine"
)

// Kamailio's pools. What is not used of the shared one costs nothing.
const (
	kamailioShared  = "2048" // MB, for all processes
	kamailioPrivate = "16"   // MB, for each
)

// ripening is how long Kamailio needs to start its processes, and cannot be ended meanwhile.
const ripening = time.Second

// StartKamailio starts Kamailio with accounts for so many users, and rtpengine with it if the media
// of calls is to be relayed. It returns how long Kamailio took from exec to its first answer.
func StartKamailio(ctx context.Context, users int, relay bool) (s *Server, took time.Duration, err error) {
	s = newServer("Kamailio")
	if relay {
		s.Name = "Kamailio with rtpengine"
	}
	if took, err = s.startKamailio(ctx, users, relay); err != nil {
		return nil, 0, s.failed(err)
	}
	return s, took, nil
}

func (s *Server) startKamailio(ctx context.Context, users int, relay bool) (took time.Duration, err error) {
	path, err := debianProgram(Kamailio, "/usr/sbin/kamailio", "kamailio")
	if err != nil {
		return 0, err
	}
	port, err := freePort(kamailioAddress(), firstPort)
	if err != nil {
		return 0, err
	}
	s.SIP = netip.AddrPortFrom(kamailioAddress(), port)
	if s.dir, err = os.MkdirTemp("", "sanchar-bench-"); err != nil {
		return 0, err
	}
	engine := ""
	if relay {
		if engine, err = s.startRTPEngine(ctx); err != nil {
			return 0, err
		}
	}
	config, err := s.writeConfig(users, engine)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	err = s.start(nil, path, "-f", config, "-DD", "-E", "-x", "fm", "-m", kamailioShared, "-M", kamailioPrivate,
		"-P", filepath.Join(s.dir, "pid"), "-Y", s.dir, "-w", s.dir)
	if err != nil {
		return 0, err
	}
	s.ripe = began.Add(ripening)
	at, err := s.answer(ctx)
	return at.Sub(began), err
}

// debianProgram finds a program of a Debian package.
func debianProgram(name, path, pkg string) (string, error) {
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is not installed: apt-get install %s", name, pkg)
	}
	return path, nil
}

func (s *Server) writeConfig(users int, engine string) (string, error) {
	t, err := template.New("kamailio.cfg").Parse(kamailioConfig)
	if err != nil {
		return "", err
	}
	name := filepath.Join(s.dir, "kamailio.cfg")
	f, err := os.Create(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return name, t.Execute(f, struct {
		Addr, Domain, Password, RTPEngine string
		Users                             int
	}{s.SIP.String(), Domain, sipload.Password, engine, users})
}

// startRTPEngine returns the address of its control socket.
func (s *Server) startRTPEngine(ctx context.Context) (string, error) {
	path, err := debianProgram(RTPEngine, "/usr/bin/rtpengine", "rtpengine-daemon")
	if err != nil {
		return "", err
	}
	port, err := freePort(kamailioAddress(), s.SIP.Port()+2)
	if err != nil {
		return "", err
	}
	at := netip.AddrPortFrom(kamailioAddress(), port).String()
	first, last, _ := strings.Cut(mediaPorts, "-")
	err = s.start(nil, path, "--config-file=none", "--table=-1", "--foreground", "--log-stderr", "--log-level=3", "--delete-delay=0",
		"--interface="+kamailioAddress().String(), "--listen-ng="+at, "--port-min="+first, "--port-max="+last,
		"--pidfile="+filepath.Join(s.dir, "rtpengine.pid"))
	if err != nil {
		return "", err
	}
	return at, poll(ctx, func() error { return pingRTPEngine(at) })
}

// pingRTPEngine asks whether rtpengine answers. Kamailio would not use one that did not when it starts.
func pingRTPEngine(at string) error {
	c, err := net.Dial("udp", at)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("1 d7:command4:pinge")); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 256))
	return err
}

package peers

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/coraltele/sanchar/appliance/bench/sipload"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Names of the parts of the box.
const (
	Switchd = "switchd"
	Mediad  = "mediad"
	Admind  = "admind"
	Netd    = "netd"
)

// BoxOptions say how the box is started.
type BoxOptions struct {
	Bin     string   // folder of the programs
	Daemons []string // which; switchd is always there
	Users   int      // accounts
	Limits  bool     // per source
	Env     []string // added to the environment
}

// Box is the box that runs.
type Box struct {
	*Server
	opt BoxOptions
}

// StartBox starts the box and makes its accounts.
func StartBox(ctx context.Context, opt BoxOptions) (*Box, error) {
	b := &Box{Server: &Server{Name: "Sanchar"}, opt: opt}
	err := b.prepare()
	for _, name := range opt.Daemons {
		if err == nil && name != Switchd {
			err = b.startDaemon(name)
		}
	}
	if err == nil {
		_, err = b.startSwitchd(ctx)
	}
	if err == nil {
		err = b.importUsers(ctx)
	}
	if err == nil {
		err = b.waitRelay(ctx)
	}
	if err != nil {
		return nil, b.failed(err)
	}
	return b, nil
}

func (b *Box) prepare() (err error) {
	if b.dir, err = os.MkdirTemp("", "sanchar-bench-"); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(b.dir, "run"), 0o700); err != nil {
		return err
	}
	port, err := freePort(boxAddress(), firstPort)
	b.SIP = netip.AddrPortFrom(boxAddress(), port)
	return err
}

// startDaemon starts one daemon with a data folder of its own.
func (b *Box) startDaemon(name string, args ...string) error {
	args = append([]string{"--run", filepath.Join(b.dir, "run"), "--data", filepath.Join(b.dir, name), "--log", "info"}, args...)
	switch name {
	case Mediad:
		args = append(args, "--ports", mediaPorts)
	case Admind:
		args = append(args, "--bind", boxAddress().String(), "--https", strconv.Itoa(int(b.SIP.Port())+2))
	}
	return b.start(b.opt.Env, filepath.Join(b.opt.Bin, name), args...)
}

// startSwitchd returns how long switchd took from exec to its first answer.
func (b *Box) startSwitchd(ctx context.Context) (time.Duration, error) {
	limits := "off"
	if b.opt.Limits {
		limits = "on"
	}
	began := time.Now()
	err := b.startDaemon(Switchd, "--bind", boxAddress().String(), "--sip", strconv.Itoa(int(b.SIP.Port())), "--sips", strconv.Itoa(int(b.SIP.Port())+1),
		"--domain", Domain, "--limits", limits)
	if err != nil {
		return 0, err
	}
	at, err := b.answer(ctx)
	return at.Sub(began), err
}

// Restart starts switchd again, with what it has on disk.
func (b *Box) Restart(ctx context.Context) (took time.Duration, err error) {
	last := len(b.parts) - 1
	if err := b.parts[last].Stop(); err != nil {
		return 0, err
	}
	b.parts = b.parts[:last]
	return b.startSwitchd(ctx)
}

func (b *Box) socket(name string) string { return filepath.Join(b.dir, "run", name+".sock") }

// importUsers makes the accounts, as an administrator would: from a file.
func (b *Box) importUsers(ctx context.Context) error {
	var csv strings.Builder
	csv.WriteString("user,password\n")
	for i := range b.opt.Users {
		csv.WriteString(sipload.Name(i) + "," + sipload.Password + "\n")
	}
	sw := ctl.NewSwitch(b.socket("switch"))
	defer sw.Close()
	return poll(ctx, func() error {
		_, err := sw.ImportUsers(ctx, strings.NewReader(csv.String()))
		return err
	})
}

// waitRelay waits until mediad answers, if the box has one.
func (b *Box) waitRelay(ctx context.Context) error {
	if b.Part(Mediad) == nil {
		return nil
	}
	m := ctl.NewMedia(b.socket("media"))
	defer m.Close()
	return poll(ctx, func() error {
		_, err := m.Sessions(ctx)
		return err
	})
}

// poll calls do until it succeeds or the time of a start is over.
func poll(ctx context.Context, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		err := do()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, fmt.Errorf("waited for it: %w", ctx.Err()))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

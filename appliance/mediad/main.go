// Mediad relays the media of calls between their parties, as switchd tells it to on a unix socket.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/coraltele/sanchar/pkg/base/slogx"
	"github.com/coraltele/sanchar/pkg/daemon/mediad"
	"github.com/coraltele/sanchar/pkg/media/port"
	"github.com/coraltele/sanchar/pkg/platform/notify"
	"github.com/coraltele/sanchar/pkg/platform/udpio"
)

// version is set when the program is built.
var version = "dev"

func main() {
	switch err := run(os.Args[1:], os.Stderr); {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "mediad:", err)
		os.Exit(1)
	}
}

func run(args []string, stderr io.Writer) error {
	handed := notify.Take() // before anything opens a file
	cfg := mediad.Config{Version: version, Voice: udpio.DSCPVoice, Video: udpio.DSCPVideo}
	flags := flag.NewFlagSet("mediad", flag.ContinueOnError)
	flags.SetOutput(stderr)
	runDir := flags.String("run", "/run/sanchar", "folder of the daemons' sockets")
	dataDir := flags.String("data", "/perm/media", "folder of this daemon's files")
	stun := flags.String("stun", "0.0.0.0:3478,[::]:3478", "where clients ask for their address and for relays; none: nowhere")
	ports := flags.String("ports", "20000-29999", "range of the media ports of each address")
	flags.StringVar(&cfg.Sounds, "sounds", besidePrograms("../share/sounds"), "folder of the spoken texts and the hold music")
	flags.StringVar(&cfg.Tones, "tones", "itu", "whose tones callers hear: itu or india")
	level := flags.String("log", "info", "tracedata, trace, debug, info, warn or error")
	flags.BoolVar(&cfg.NoOffload, "no-offload", false, "do not let the kernel pass media on")
	flags.BoolVar(&cfg.NoRing, "no-io-uring", false, "relay without io_uring")
	if err := flags.Parse(args); err != nil {
		return err
	}
	lowest, err := slogx.ParseLevel(*level)
	if err != nil {
		return err
	}
	if cfg.Ports, err = parseRange(*ports); err != nil {
		return err
	}
	if cfg.STUN, err = parseAddrs(*stun); err != nil {
		return err
	}
	if err := os.MkdirAll(*dataDir, 0o700); err != nil {
		return err
	}
	cfg.Socket, cfg.Admin, cfg.Data, cfg.RunDir = filepath.Join(*runDir, "media.sock"), filepath.Join(*runDir, "admin.sock"), *dataDir, *runDir
	cfg.Net = filepath.Join(*runDir, "net.sock")
	return serve(cfg, handed, slogx.New(stderr, slogx.NewLevels(lowest)))
}

// besidePrograms returns a path that is relative to the folder of this program.
func besidePrograms(path string) string {
	exe, err := os.Executable()
	if err != nil {
		return path
	}
	return filepath.Join(filepath.Dir(exe), path)
}

func parseRange(text string) (c port.Config, err error) {
	if n, err := fmt.Sscanf(text+"\n", "%d-%d\n", &c.First, &c.Last); n != 2 || err != nil {
		return c, fmt.Errorf("-ports %q: not FIRST-LAST, two numbers below 65536", text)
	}
	return c, nil
}

func parseAddrs(text string) (list []netip.AddrPort, err error) {
	for one := range strings.SplitSeq(text, ",") {
		if one == "none" || one == "" {
			continue
		}
		at, err := netip.ParseAddrPort(one)
		if err != nil {
			return nil, fmt.Errorf("-stun %q: %w", one, err)
		}
		list = append(list, at)
	}
	return list, nil
}

func serve(cfg mediad.Config, handed map[string][]int, log *slog.Logger) error {
	// A loop with traffic keeps its processor while it sleeps for the rest of a tick. The one more is for
	// all others.
	runtime.GOMAXPROCS(runtime.NumCPU() + 1)
	n, err := notify.New()
	if err != nil {
		return err
	}
	d, err := mediad.New(cfg, n, handed, log)
	if err != nil {
		return errors.Join(err, n.Close())
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	context.AfterFunc(ctx, func() { _ = n.Stopping() }) // a supervisor that is gone needs not know
	return errors.Join(d.Run(ctx), n.Close())
}

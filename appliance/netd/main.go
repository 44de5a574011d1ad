// Command netd owns the kernel's network, and lets the kernel pass media on. Without --manage it only
// tells what it would do.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"github.com/coraltele/sanchar/pkg/base/slogx"
	"github.com/coraltele/sanchar/pkg/daemon/netd"
	"github.com/coraltele/sanchar/pkg/network/ingress"
	"github.com/coraltele/sanchar/pkg/platform/notify"
)

var version = "dev" // set when the image is built

// gcPercent keeps the idle daemon small: it allocates next to nothing, so frequent collection is cheap.
const gcPercent = 25

func main() {
	cfg := netd.Config{Handed: notify.Take()} // before anything opens a file
	flag.StringVar(&cfg.RunDir, "run", "/run/sanchar", "folder of the daemons' sockets")
	flag.StringVar(&cfg.DataDir, "data", "/data/net", "folder of this daemon's data")
	flag.BoolVar(&cfg.Manage, "manage", false, "own the network of this machine; without it plans are made and nothing is applied")
	flag.StringVar(&cfg.Resolv, "resolv", "", "file with the name servers that programs ask, with --manage; resolv.conf beside the folder of sockets when empty")
	flag.StringVar(&cfg.Offload, "offload", ingress.Auto, "how the kernel passes media on: auto, tcx, clsact, nftables or off")
	level := flag.String("log", "info", "level of the log: tracedata, trace, debug, info, warn, error")
	flag.Parse()
	cfg.Version = version
	if cfg.Resolv == "" {
		cfg.Resolv = filepath.Join(filepath.Dir(filepath.Clean(cfg.RunDir)), "resolv.conf")
	}
	debug.SetGCPercent(gcPercent)
	if err := run(cfg, *level); err != nil {
		fmt.Fprintln(os.Stderr, "netd:", err)
		os.Exit(1)
	}
}

func run(cfg netd.Config, level string) error {
	base, err := slogx.ParseLevel(level)
	if err != nil {
		return err
	}
	cfg.Log = slogx.New(os.Stderr, slogx.NewLevels(base))
	if cfg.Notify, err = notify.New(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	d, err := netd.New(cfg)
	if err != nil {
		return err
	}
	told := context.AfterFunc(ctx, func() {
		if err := cfg.Notify.Stopping(); err != nil {
			cfg.Log.Warn("the supervisor was not told of the stop", "err", err)
		}
	})
	defer told()
	err = d.Run(ctx)
	if err == nil && ctx.Err() == nil {
		err = errors.New("ended without being asked to")
	}
	return errors.Join(err, cfg.Notify.Close())
}

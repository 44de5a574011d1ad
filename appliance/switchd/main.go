// Command switchd is the SIP switch: accounts, registrations and calls.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/coraltele/sanchar/pkg/base/slogx"
	"github.com/coraltele/sanchar/pkg/daemon/switchd"
	"github.com/coraltele/sanchar/pkg/platform/notify"
)

var version = "dev" // set when the image is built

// memoryLimit is where the collector works harder instead of the heap growing: 10,000 calls and
// 50,000 users fit below it.
const memoryLimit = 512 << 20

func main() {
	var cfg switchd.Config
	flag.StringVar(&cfg.RunDir, "run", "/run/sanchar", "folder of the daemons' sockets")
	flag.StringVar(&cfg.DataDir, "data", "/data/switch", "folder of this daemon's data")
	flag.StringVar(&cfg.Bind, "bind", "", "address of the SIP ports; all when empty")
	port := flag.Uint("sip", 5060, "port of SIP over UDP and TCP")
	tlsPort := flag.Uint("sips", 5061, "port of SIP over TLS")
	flag.StringVar(&cfg.Domain, "domain", "", "domain of the accounts; when empty the set-up asks for it")
	limits := flag.String("limits", "on", "limits per source: on, or off for load from one address")
	level := flag.String("log", "info", "level of the log: tracedata, trace, debug, info, warn, error")
	flag.Parse()
	cfg.Version, cfg.Port, cfg.TLSPort, cfg.Limits = version, uint16(*port), uint16(*tlsPort), *limits != "off"
	debug.SetMemoryLimit(memoryLimit)
	if err := run(cfg, *level, *port, *tlsPort); err != nil {
		fmt.Fprintln(os.Stderr, "switchd:", err)
		os.Exit(1)
	}
}

func run(cfg switchd.Config, level string, ports ...uint) error {
	base, err := slogx.ParseLevel(level)
	if err != nil {
		return err
	}
	for _, p := range ports {
		if p > 65535 {
			return fmt.Errorf("port %d: not between 0 and 65535", p)
		}
	}
	cfg.Log = slogx.New(os.Stderr, slogx.NewLevels(base))
	cfg.Taken = notify.Take()
	if cfg.Notify, err = notify.New(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	d, err := switchd.New(cfg)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() {
		if err := cfg.Notify.Stopping(); err != nil {
			cfg.Log.Warn("the supervisor was not told of the stop", "err", err)
		}
	})
	err = d.Run(ctx)
	if err == nil && ctx.Err() == nil {
		err = errors.New("ended without being asked to")
	}
	return errors.Join(err, cfg.Notify.Close())
}

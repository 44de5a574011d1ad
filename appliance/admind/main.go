// Command admind serves the page and the API, and keeps the records.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"reflect"
	"runtime/debug"
	"slices"
	"syscall"

	"github.com/coraltele/sanchar/pkg/base/slogx"
	"github.com/coraltele/sanchar/pkg/console/api"
	"github.com/coraltele/sanchar/pkg/daemon/admind"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/platform/notify"
)

var version = "dev" // set when the image is built

// The daemon is idle for most of its life, so its heap may be collected often: that costs little
// processor time and keeps it small.
const (
	gcPercent   = 30
	memoryLimit = 128 << 20 // above it the collector works harder; two sign-ins need 38 MB
)

func main() {
	var cfg admind.Config
	flag.StringVar(&cfg.RunDir, "run", "/run/sanchar", "folder of the daemons' sockets")
	flag.StringVar(&cfg.DataDir, "data", "/data/admin", "folder of this daemon's data")
	flag.StringVar(&cfg.Bind, "bind", "", "address of the page; all when empty")
	port := flag.Uint("https", 443, "port of the page")
	phones := flag.Uint("phones", 0, "port where phones fetch their settings, and nothing else is served; 0 is none")
	plain := flag.Uint("phones-plain", 0, "the same over HTTP; 0 is none")
	flag.StringVar(&cfg.TokenFile, "token-file", "", "file that an owner's API token is written to")
	flag.StringVar(&cfg.Scanner, "scanner", "", "program, with arguments, that reads each file that users send and ends with 0 when it is clean, 1 when not")
	flag.StringVar(&cfg.Root, "root", "/", "folder of the image's files")
	flag.StringVar(&cfg.Trouble, "trouble", "", "why the box runs the page alone")
	flag.StringVar(&cfg.Cure, "cure", "", "what helps against that")
	aloneFile := flag.String("alone-file", "", "file that, when it is there, tells why the page runs alone")
	aloneData := flag.String("alone-data", "", "folder of the page's data when it runs alone")
	level := flag.String("log", "info", "level of the log: tracedata, trace, debug, info, warn, error")
	describe := flag.Bool("openapi", false, "print the API's OpenAPI document and exit")
	flag.Parse()
	if *describe {
		exit(printDocument())
	}
	if why, err := os.ReadFile(*aloneFile); err == nil && cfg.Trouble == "" {
		cfg.Alone, cfg.DataDir = string(why), *aloneData
	}
	cfg.Version, cfg.Port, cfg.Phones, cfg.Plain = version, uint16(*port), uint16(*phones), uint16(*plain)
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(memoryLimit)
	exit(run(cfg, *level, *port, *phones, *plain))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "admind:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(cfg admind.Config, level string, ports ...uint) error {
	base, err := slogx.ParseLevel(level)
	if err != nil {
		return err
	}
	if most := slices.Max(ports); most > 65535 {
		return fmt.Errorf("port %d: not between 0 and 65535", most)
	}
	cfg.Log = slogx.New(os.Stderr, slogx.NewLevels(base))
	cfg.Taken = notify.Take()
	if cfg.Notify, err = notify.New(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	d, err := admind.New(cfg)
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

func printDocument() error {
	doc, err := api.New(api.Config{Version: version, NetworkType: reflect.TypeFor[netcfg.Document](), Log: slog.New(slog.DiscardHandler)}).Document()
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(append(doc, '\n'))
	return err
}

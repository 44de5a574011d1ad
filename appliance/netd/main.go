// Netd owns the kernel's network: for now it reports links and addresses on a unix socket.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"github.com/coraltele/sanchar/pkg/base/slogx"
	"github.com/coraltele/sanchar/pkg/daemon/netd"
	"github.com/coraltele/sanchar/pkg/platform/notify"
)

// version is set when the program is built.
var version = "dev"

// heapPercent keeps the idle daemon small: it allocates next to nothing, so frequent collection is cheap.
const heapPercent = 25

func main() {
	switch err := run(os.Args[1:], os.Stderr); {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "netd:", err)
		os.Exit(1)
	}
}

func run(args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet("netd", flag.ContinueOnError)
	flags.SetOutput(stderr)
	runDir := flags.String("run", "/run/sanchar", "folder of the daemons' sockets")
	dataDir := flags.String("data", "/perm/net", "folder of this daemon's files")
	level := flags.String("log", "info", "tracedata, trace, debug, info, warn or error")
	if err := flags.Parse(args); err != nil {
		return err
	}
	lowest, err := slogx.ParseLevel(*level)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(*dataDir, 0o700); err != nil {
		return err
	}
	debug.SetGCPercent(heapPercent)
	n, err := notify.New()
	if err != nil {
		return err
	}
	return errors.Join(serve(*runDir, n, slogx.New(stderr, slogx.NewLevels(lowest))), n.Close())
}

func serve(runDir string, n *notify.Notifier, log *slog.Logger) error {
	d, err := netd.New(netd.Config{Socket: filepath.Join(runDir, "net.sock"), Version: version}, n, log)
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	context.AfterFunc(ctx, func() { _ = n.Stopping() }) // a supervisor that is gone needs not know
	return d.Run(ctx)
}

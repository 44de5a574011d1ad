// Command sanchar is the command line of a box: it asks the daemons over their sockets, and
// "sanchar dev" runs them on this machine.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

var version = "dev" // set when the image is built

// terminal is what a command reads and writes.
type terminal struct {
	in       io.Reader
	out, err io.Writer
}

// command is one thing that sanchar can do. Its name may be of two words.
type command struct {
	name string
	args string
	does string
	run  func(ctx context.Context, t *terminal, args []string) error
}

func commands() []command {
	return []command{
		{"dev", "[flags]", "run all daemons on this machine; see sanchar dev --help", dev},
		{"status", "", "tell how each daemon is", status},
		{"users list", "[TEXT]", "list users, or those whose name, number or e-mail holds TEXT", usersList},
		{"users add", "NAME [NUMBER...]", "add a user and show the password that was made for it", usersAdd},
		{"users import", "FILE.csv", "add or change the users of a file (- is standard input)", usersImport},
		{"users reset-secret", "NAME", "give a user a new password", usersReset},
		{"users disable", "NAME", "let a user neither register nor call", usersDisable},
		{"users enable", "NAME", "undo disable", usersEnable},
		{"users remove", "NAME", "remove a user for good", usersRemove},
		{"phones list", "[NAME]", "list the desk phones that are bound, or those of a user", phonesList},
		{"phones bind", "MAC NAME", "make a desk phone that of a user, and let it take its settings once", phonesBind},
		{"phones remove", "MAC", "forget a desk phone and end its secret", phonesRemove},
		{"registrations", "", "list the devices that are registered", registrations},
		{"calls", "", "list the calls that are not over", calls},
		{"hangup", "ID", "end a call; the first characters of its id are enough", hangup},
		{"chat keep", "[DAYS]", "tell or set how long messages wait for their recipients", chatKeep},
		{"media policy", "[--user NAME] [NAME=VALUE...]", "tell or set how calls are encrypted and what way their media takes", mediaPolicy},
		{"links", "", "list the network links and their addresses", links},
		{"net show", "", "tell how the network is and should be", netShow},
		{"net set-address", "LINK ADDRESS/LENGTH|dhcp [GATEWAY]", "give a link its address and confirm it at once: for the console of a box", netSetAddress},
		{"net plan", "FILE", "tell what a network document would change (- is standard input)", netPlan},
		{"net apply", "FILE", "apply a network document; it goes back by itself unless it is confirmed", netApply},
		{"net confirm", "", "make the change of the network last that was applied", netConfirm},
		{"net revert", "", "take the change of the network back that was applied", netRevert},
		{"net revisions", "", "list the last confirmed networks with who changed what", netRevisions},
		{"net restore", "NUMBER", "apply the network of a revision; it goes back by itself unless it is confirmed", netRestore},
		{"net add-peer", "LINK NAME --endpoint HOST[:PORT]", "let a phone or computer in by a WireGuard tunnel, and show its settings and their QR code, once", netAddPeer},
		{"net remove-peer", "LINK NAME", "let a peer of a tunnel in no more", netRemovePeer},
		{"net firewall", "", "tell the firewall's rules with what they counted, and who is banned", netFirewall},
		{"net unban", "ADDRESS", "let a source be heard again that guessed passwords", netUnban},
		{"net diag", "[--trunk HOST]", "find out what is wrong with the network, and what to do", netDiag},
		{"net ping", "HOST", "ask a host whether it is there", netPing},
		{"net trace", "HOST", "find the way to a host", netTrace},
		{"net capture", "LINK --out FILE [FILTER]", "record packets of a link, for Wireshark", netCapture},
		{"net leases", "", "list who got which address of the box", netLeases},
		{"net neighbours", "", "list who is at the other ends of the cables", netNeighbours},
		{"net services", "", "list what the box does for the hosts of its zones", netServices},
		{"check", "", "find out whether the box does what it is for: a call goes through it", check},
		{"update state", "", "tell the version that runs, and how an update stands", updateState},
		{"update install", "FILE", "install an update from a file on the box; it restarts when calls are over", updateInstall},
		{"restart", "", "restart the box at once; calls are cut", restartBox},
		{"factory-reset", "--yes", "erase all that the box keeps, and restart it as it was delivered", resetBox},
		{"adopt", "--yes", "use the data of another box that is on this one's disk, and restart", adoptData},
		{"keys code", "", "show the code that opens what the box keeps when its security chip is lost", keysCode},
		{"keys recover", "CODE", "give the keys to this box's security chip by that code, and restart", keysRecover},
		{"version", "", "tell the version of this program", showVersion},
	}
}

// usageError is a command line that cannot be understood.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

// errHelp says that help was asked for and given.
var errHelp = errors.New("help")

// secondSignal is when a second Ctrl-C ends us at once. Before, it may be the first one, which the
// terminal sent to us and to a program that started us and passes it on.
const secondSignal = 3 * time.Second

func main() {
	// SIGHUP says that the terminal was closed.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, func() { time.AfterFunc(secondSignal, stop) })
	os.Exit(run(ctx, &terminal{in: os.Stdin, out: os.Stdout, err: os.Stderr}, os.Args[1:]))
}

// run does what args say and returns the exit status.
func run(ctx context.Context, t *terminal, args []string) int {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		printHelp(t.out)
		return map[bool]int{true: 2, false: 0}[len(args) == 0]
	}
	cmd, rest, err := find(args)
	if err == nil {
		err = cmd.run(ctx, t, rest)
	}
	switch wrong, isUsage := errors.AsType[usageError](err); {
	case err == nil, errors.Is(err, errHelp):
		return 0
	case isUsage:
		fmt.Fprintf(t.err, "sanchar: %s\nSee: sanchar help\n", wrong.text)
		return 2
	}
	printError(t.err, err)
	return 1
}

// find returns the command that args begin with, and what follows it.
func find(args []string) (command, []string, error) {
	var group []string
	for _, cmd := range commands() {
		words := strings.Fields(cmd.name)
		if len(args) >= len(words) && strings.Join(args[:len(words)], " ") == cmd.name {
			return cmd, args[len(words):], nil
		}
		if words[0] == args[0] {
			group = append(group, words[1])
		}
	}
	if len(group) > 0 {
		return command{}, nil, usageError{fmt.Sprintf("%s needs one of: %s", args[0], strings.Join(group, ", "))}
	}
	return command{}, nil, usageError{fmt.Sprintf("there is no command %q", args[0])}
}

func printHelp(w io.Writer) {
	fmt.Fprint(w, "sanchar asks the daemons of a box, and runs them on this machine.\n\n")
	var rows [][]string
	for _, cmd := range commands() {
		rows = append(rows, []string{"  sanchar " + strings.TrimSpace(cmd.name+" "+cmd.args), cmd.does})
	}
	printTable(w, nil, rows)
	fmt.Fprint(w, "\nEvery command but dev takes --run DIR, the folder of the daemons' sockets (else ./var/run,\n"+
		"then /run/sanchar), and --json, to print JSON.\n")
}

// printError tells a person what went wrong and what to do about it.
func printError(w io.Writer, err error) {
	p, ok := errors.AsType[*problem.Error](err)
	if !ok {
		for i, line := range strings.Split(err.Error(), "\n") {
			fmt.Fprintf(w, "%s%s\n", map[bool]string{true: "sanchar: ", false: "  "}[i == 0], printable(line))
		}
		return
	}
	fmt.Fprintf(w, "sanchar: %s\n", printable(p.Text))
	for _, f := range p.Faults {
		fmt.Fprintf(w, "  %s %q: %s. To do: %s\n", printable(f.Path), f.Value, printable(f.Rule), printable(f.Cure))
	}
	if p.Cure != "" {
		fmt.Fprintf(w, "To do: %s\n", printable(p.Cure))
	}
}

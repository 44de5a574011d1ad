package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// shownLines is how many lines of the log fit a screen with the prompt.
const shownLines = seatHeight - 2

// nameWidth leaves room on a narrow screen for what a command does; few names are longer.
const nameWidth = 16

// eraseWords are typed by who means it: nobody types them by mistake.
const eraseWords = "erase everything"

// ownCommand is one that only a console has, or has in its own way.
type ownCommand struct {
	name, args, does string
	rescue           bool // anybody who stands before the box may use it
	run              func(ctx context.Context, args []string) error
}

func (s *seat) own() []ownCommand {
	return []ownCommand{
		{"help", "", "list what can be typed", true, s.help},
		{"sign-in", "NAME", "sign in as an owner of the box", true, s.signIn},
		{"sign-out", "", "sign out", true, s.signOut},
		{"log", "[LINES|follow]", "tell what the box's programs said; follow shows it as it comes, until Enter", true, s.log},
		{"restart", "", "restart the box at once; calls are cut", true, s.restart},
		{"factory-reset", "", "erase all that the box keeps, and restart it as it was delivered", true, s.reset},
	}
}

func (s *seat) help(ctx context.Context, _ []string) error {
	trusted := s.trusted(ctx)
	row := func(name, args, does string) { s.say("  %-*s %s\n", nameWidth, name+" "+args, does) }
	own := s.own()
	for _, c := range own {
		if c.rescue || trusted {
			row(c.name, c.args, c.does)
		}
	}
	for _, c := range commands() {
		shadowed := slices.ContainsFunc(own, func(o ownCommand) bool { return o.name == c.name })
		if !shadowed && !slices.Contains(notHere(), c.name) && (trusted || slices.Contains(rescues(), c.name)) && (!slices.Contains(ownersOnly(), c.name) || s.signed()) {
			row(c.name, c.args, c.does)
		}
	}
	if !trusted {
		s.say("Owners who sign in have more.\n")
	}
	return nil
}

func (s *seat) signOut(context.Context, []string) error {
	s.leave()
	return nil
}

// log shows the last lines that programs said, or those that come. Who has not signed in sees those of the machine.
func (s *seat) log(ctx context.Context, args []string) error {
	n, trusted := shownLines, s.trusted(ctx)
	if len(args) == 1 && args[0] == "follow" {
		return s.follow(trusted)
	}
	if len(args) > 0 {
		var err error
		if n, err = strconv.Atoi(args[0]); err != nil || n < 1 || len(args) > 1 {
			return usageError{"log needs a number of lines, or follow"}
		}
	}
	limited, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	return s.box.init.Log(limited, n, false, func(l ctl.LogLine) error {
		if trusted || ofMachine(l) {
			s.showLine(l)
		}
		return nil
	})
}

// follow shows lines as they come, until somebody presses Enter.
func (s *seat) follow(all bool) error {
	s.setAll(all)
	defer s.setAll(false)
	s.keys.set(nil) // Ctrl-C is as good as Enter
	s.say("Press Enter to end.\n")
	s.term.SetPrompt("")
	_, err := s.term.ReadLine()
	return err
}

func (s *seat) setAll(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = on
}

// sure asks for words that mean yes.
func (s *seat) sure(warning, words string) bool {
	s.keys.set(nil)
	s.say("%s\n", warning)
	s.term.SetPrompt(fmt.Sprintf("Type %q to go on: ", words))
	line, err := s.term.ReadLine()
	return err == nil && line == words
}

func (s *seat) restart(ctx context.Context, _ []string) error {
	if !s.sure("Calls are cut, and the box is away for about a minute.", "yes") {
		return usageError{"the box is not restarted"}
	}
	return s.restartBox(ctx, ctl.RestartRequest{Why: "console"})
}

func (s *seat) reset(ctx context.Context, _ []string) error {
	if !s.sure("All settings, users, records, recordings and messages are erased. It cannot be undone.", eraseWords) {
		return usageError{"nothing is erased"}
	}
	return s.restartBox(ctx, ctl.RestartRequest{Why: "console", Reset: true})
}

// restartBox asks admind, which knows whether an update is being written. If it does not answer, the box is
// in need of rescue.
func (s *seat) restartBox(ctx context.Context, in ctl.RestartRequest) error {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	err := s.box.admin.Restart(ctx, in)
	if p, ok := errors.AsType[*problem.Error](err); ok && p.Code == "admind.away" {
		err = s.box.init.Restart(ctx, in)
	}
	if err == nil {
		s.say("The box restarts.\n")
	}
	return err
}

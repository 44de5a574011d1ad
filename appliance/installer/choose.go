package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/coraltele/sanchar/pkg/firmware/setup"
)

// countdown is how long a key may stop what happens by itself.
const countdown = 30 * time.Second

// choose finds the disk that is meant. Only a disk on which nothing is lost, and that is the only one, is taken
// without an answer.
func choose(t *terminal, look func() ([]setup.Disk, error), wait time.Duration) (d setup.Disk, erase bool, err error) {
	first := true
	for {
		all, err := look()
		if err != nil {
			return d, false, err
		}
		fit := show(t, all)
		if first && len(fit) == 1 && fit[0].Content != setup.Foreign {
			t.say("\nSanchar is installed on %s in %v. Press a key to stop that.", fit[0].Name, wait)
			if !t.key(wait) {
				return fit[0], false, nil
			}
		}
		first = false
		if d, ok, err := number(t, fit); err != nil {
			return d, false, err
		} else if ok {
			if erase, ok, err := agreed(t, d); err != nil || ok {
				return d, erase, err
			}
		}
	}
}

// show lists the disks and returns those that may be written, in the order of their numbers.
func show(t *terminal, all []setup.Disk) (fit []setup.Disk) {
	t.say("\n  Sanchar %s: installation\n", version)
	for _, d := range all {
		if d.Unfit == "" {
			fit = append(fit, d)
			t.say("  %d  %s  %s", len(fit), name(d), holds(d))
		}
	}
	for _, d := range all {
		if d.Unfit != "" {
			t.say("  -  %s  not used: %s", name(d), d.Unfit)
		}
	}
	if len(fit) == 0 {
		t.say("  There is no disk in this box that Sanchar can be installed on.")
	}
	return fit
}

func name(d setup.Disk) string {
	return fmt.Sprintf("%-10s %8.1f GB  %-24s", d.Name, float64(d.Size)/1e9, d.Model)
}

func holds(d setup.Disk) string {
	return map[setup.Content]string{
		setup.Empty: "empty", setup.Ours: "holds a Sanchar: what it keeps stays", setup.Foreign: "holds something else, which would be lost",
	}[d.Content]
}

// number asks which disk is meant.
func number(t *terminal, fit []setup.Disk) (d setup.Disk, ok bool, err error) {
	if len(fit) == 0 {
		t.say("\nPress Enter to look again.")
	} else {
		t.say("\nType the number of a disk and Enter; Enter alone looks again.")
	}
	text, err := t.line(forever)
	if err != nil {
		return d, false, err
	}
	if n, err := strconv.Atoi(text); err == nil && n >= 1 && n <= len(fit) {
		return fit[n-1], true, nil
	}
	return d, false, nil
}

// agreed asks for what cannot be undone.
func agreed(t *terminal, d setup.Disk) (erase, ok bool, err error) {
	switch d.Content {
	case setup.Empty:
		return false, true, nil
	case setup.Ours:
		t.say("Type keep and Enter to keep its users, settings, records and recordings, or erase to begin anew.")
	case setup.Foreign:
		t.say("Everything on %s will be lost. Type erase and Enter to go on.", d.Name)
	}
	text, err := t.line(forever)
	if err != nil {
		return false, false, err
	}
	switch {
	case text == "erase":
		return true, true, nil
	case text == "keep" && d.Content == setup.Ours:
		return false, true, nil
	}
	return false, false, nil
}

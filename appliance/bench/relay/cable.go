package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

// cable is no relay at all: the callers send to each other, and what comes in at the relay's interface
// goes out again as it is. What others cost is counted above this.
type cable struct {
	program *ebpf.Program
	link    link.Link
}

const cableName = "cable"

func (c *cable) name() string { return cableName }

func (c *cable) start(_ context.Context, w *world) (err error) {
	c.program, err = ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "md_cable", Type: ebpf.SchedCLS, License: "Apache-2.0",
		Instructions: asm.Instructions{
			asm.Mov.Imm(asm.R1, int32(w.relayIndex)),
			asm.Mov.Imm(asm.R2, 0),
			asm.FnRedirect.Call(),
			asm.Return(),
		},
	})
	if err != nil {
		return fmt.Errorf("program of the cable: %w", err)
	}
	return w.look(w.relayNS, func() error {
		c.link, err = link.AttachTCX(link.TCXOptions{Interface: w.relayIndex, Program: c.program, Attach: ebpf.AttachTCXIngress})
		return err
	})
}

// call makes each caller send to the other one.
func (c *cable) call(_ context.Context, i int) (relayPorts, error) {
	a, b := party(i)
	return relayPorts{a: b, b: a}, nil
}

func (c *cable) hangUp(context.Context, int) error { return nil }

func (c *cable) pids() []int { return nil }

func (c *cable) stop() error { return errors.Join(c.link.Close(), c.program.Close()) }

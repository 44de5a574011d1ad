package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"strings"

	"rsc.io/qr"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// newPeer is what is told once of a peer that was added.
type newPeer struct {
	PublicKey string           `json:"public_key"`
	Settings  string           `json:"settings"` // with the private key, which is kept nowhere
	Candidate ctl.NetCandidate `json:"candidate"`
}

// netAddPeer makes keys for a phone or computer far away, lets it in, and shows its settings.
func netAddPeer(ctx context.Context, t *terminal, args []string) error {
	var wish ctl.NetPeerWish
	q := question{name: "net add-peer", least: 2, most: 2, within: applyWithin, define: func(f *flag.FlagSet) {
		f.StringVar(&wish.Endpoint, "endpoint", "", "host, and perhaps port, where the peer finds the box")
	}}
	return q.ask(ctx, t, args, func(ctx context.Context, b *box, args []string) error {
		wish.Name = args[1]
		made, err := b.addPeer(ctx, args[0], wish)
		if err != nil || b.json {
			return orPrint(t, err, made)
		}
		return showPeer(t.out, made)
	})
}

func (b *box) addPeer(ctx context.Context, link string, wish ctl.NetPeerWish) (made newPeer, err error) {
	now, err := b.net.Document(ctx)
	if err != nil {
		return made, err
	}
	wish.Document = now.Document
	p, err := b.net.MakePeer(ctx, link, wish)
	if err != nil {
		return made, err
	}
	made.PublicKey, made.Settings = p.PublicKey, p.Settings
	made.Candidate, err = b.net.Apply(ctx, ctl.NetProposal{Document: p.Document, Revision: now.Number, Who: atConsole()})
	return made, err
}

// change applies the confirmed document with a change.
func (b *box) change(ctx context.Context, edit func(netcfg.Document) (netcfg.Document, error)) (c ctl.NetCandidate, err error) {
	now, err := b.net.Document(ctx)
	if err != nil {
		return c, err
	}
	doc, err := netcfg.Parse(now.Document)
	if err == nil {
		doc, err = edit(doc)
	}
	if err != nil {
		return c, err
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return c, err
	}
	return b.net.Apply(ctx, ctl.NetProposal{Document: text, Revision: now.Number, Who: atConsole()})
}

func showPeer(w io.Writer, made newPeer) error {
	code, err := qr.Encode(made.Settings, qr.L)
	if err != nil {
		return fmt.Errorf("QR code of the settings: %w", err)
	}
	fmt.Fprintf(w, "# Shown this once: the private key is kept nowhere. For a file, or for the camera of a phone.\n%s\n%s\n", made.Settings, blocks(code))
	fmt.Fprintf(w, "The peer is let in until %s, and from then on if you say: sanchar net confirm\n", made.Candidate.Until.Local().Format("15:04:05"))
	return nil
}

// blocks draws a QR code with two rows in a line of text, light on dark terminals, with the margin of
// four that readers want (ISO/IEC 18004, 9.1).
func blocks(code *qr.Code) string {
	const margin = 4
	var b strings.Builder
	for y := -margin; y < code.Size+margin; y += 2 {
		for x := -margin; x < code.Size+margin; x++ {
			// Outside of the code nothing is black.
			b.WriteString([]string{"█", "▀", "▄", " "}[bit(code.Black(x, y))*2+bit(code.Black(x, y+1))])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func bit(on bool) int {
	if on {
		return 1
	}
	return 0
}

// netRemovePeer takes a peer out: its key opens nothing any more.
func netRemovePeer(ctx context.Context, t *terminal, args []string) error {
	q := question{name: "net remove-peer", least: 2, most: 2, within: applyWithin}
	return q.ask(ctx, t, args, func(ctx context.Context, b *box, args []string) error {
		c, err := b.change(ctx, func(doc netcfg.Document) (netcfg.Document, error) {
			without, found := doc.WithoutPeer(args[0], args[1])
			if !found {
				return doc, problem.New(problem.Missing, "net.peer", "tunnel "+args[0]+" has no peer "+args[1], "look at the document: sanchar net show --json")
			}
			return without, nil
		})
		if err != nil || b.json {
			return orPrint(t, err, c)
		}
		fmt.Fprintf(t.out, "%s comes in no more. It goes back at %s unless you say: sanchar net confirm\n", printable(args[1]), c.Until.Local().Format("15:04:05"))
		return nil
	})
}

package netd

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// makePeer makes a peer for a tunnel that is there: its far end must know our key.
func (d *Daemon) makePeer(r *http.Request, in ctl.NetPeerWish) (p ctl.NetPeer, err error) {
	link := r.PathValue("link")
	all, err := d.tunnels()
	if err != nil {
		return p, err
	}
	at := slices.IndexFunc(all, func(t ctl.NetTunnel) bool { return t.Link == link })
	if at < 0 {
		return p, problem.New(problem.Missing, "net.tunnel", "there is no tunnel "+link, "add it to wireguard and interfaces of the network document, apply and confirm that first")
	}
	if len(in.Document) == 0 {
		now, err := d.manager.Document()
		if err != nil {
			return p, err
		}
		in.Document = now.Document
	}
	doc, err := netcfg.Parse(in.Document)
	if err != nil {
		return p, err
	}
	made, err := doc.MakePeer(netcfg.NewPeer{Link: link, Name: in.Name, Endpoint: in.Endpoint}, all[at].PublicKey)
	if err != nil {
		return p, err
	}
	p.PublicKey, p.Settings = made.PublicKey, made.Settings
	p.Document, err = json.Marshal(made.With)
	return p, err
}

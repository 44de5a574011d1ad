package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/coraltele/sanchar/pkg/console/provision"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// TunnelPeer is the settings of a new peer. Its private key is told this once and kept nowhere.
type TunnelPeer struct {
	Document  json.RawMessage `json:"document" doc:"the network with the peer: apply it and confirm it"`
	PublicKey string          `json:"public_key"`
	Settings  string          `json:"settings" doc:"file for a WireGuard program"`
	QRSVG     string          `json:"qr_svg" doc:"the same as a QR code in SVG"`
}

func (a *API) tunnelPeerOperation() {
	type input struct {
		Link string `path:"link"`
		Body ctl.NetPeerWish
	}
	type output struct{ Body TunnelPeer }
	op := with(http.MethodPost, get("make-tunnel-peer", "/network/tunnels/{link}/peers",
		"Make keys and settings for a new peer of a tunnel, with the first free address; the network is not changed"))
	op.SkipValidateBody = true // netd tells all faults at once
	register(a, op, func(ctx context.Context, who caller, in *input) (out *output, err error) {
		err = a.act(ctx, who, "network.peer", firstWords(in.Link+" "+in.Body.Name), func(*record.Audit) error {
			p, err := a.cfg.Network.MakePeer(ctx, in.Link, in.Body)
			if err != nil {
				return err
			}
			out = &output{TunnelPeer{Document: p.Document, PublicKey: p.PublicKey, Settings: p.Settings}}
			out.Body.QRSVG, err = provision.QRSVG(p.Settings)
			return err
		})
		return out, err
	})
}

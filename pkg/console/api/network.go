package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/conf"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// Network keeps the network document.
type Network interface {
	Document(ctx context.Context) (ctl.NetDocument, error)
	State(ctx context.Context) (ctl.NetState, error)
	Propose(ctx context.Context, p ctl.NetProposal) (ctl.NetPlan, error)
	Apply(ctx context.Context, p ctl.NetProposal) (ctl.NetCandidate, error)
	Confirm(ctx context.Context, who string) (conf.Revision, error)
	Revert(ctx context.Context, who string) error
	Revisions(ctx context.Context) ([]ctl.NetRevision, error)
	Revision(ctx context.Context, number uint64) (ctl.NetDocument, error)
	Tunnels(ctx context.Context) ([]ctl.NetTunnel, error)
	MakePeer(ctx context.Context, link string, in ctl.NetPeerWish) (ctl.NetPeer, error)
	Firewall(ctx context.Context) (ctl.Firewall, error)
}

// NetworkChange is a wish of the network: a whole document, or an earlier revision.
type NetworkChange struct {
	Document       json.RawMessage `json:"document,omitempty" doc:"the whole document as it shall be"`
	Restore        uint64          `json:"restore,omitempty" doc:"instead of a document: the revision that shall come back"`
	ConfirmSeconds int             `json:"confirm_seconds,omitempty" doc:"until the change goes back by itself, 10 to 600; 0 is 60"`
}

// NetworkRevisionList is the last confirmed networks, the newest first.
type NetworkRevisionList struct {
	Revisions []ctl.NetRevision `json:"revisions"`
}

// NetworkTunnelList is our ends of tunnels.
type NetworkTunnelList struct {
	Tunnels []ctl.NetTunnel `json:"tunnels"`
}

type networkOutput struct {
	ETag string `header:"ETag" doc:"the revision: send it as If-Match with a change"`
	Body ctl.NetDocument
}

type networkChangeInput struct {
	IfMatch string `header:"If-Match" doc:"ETag of the network as it was read, or * for whatever it is now"`
	Body    NetworkChange
}

func (a *API) networkOperations() {
	register(a, get("get-network", "/network", "The network as it was confirmed, and the change that waits to be"),
		func(ctx context.Context, _ caller, _ *struct{}) (*networkOutput, error) {
			doc, err := a.cfg.Network.Document(ctx)
			return &networkOutput{etag(doc.Number), doc}, err
		})
	type stateOutput struct{ Body ctl.NetState }
	register(a, get("get-network-state", "/network/state", "How the network is: uplinks, leases, what is still to be done and what others made"),
		func(ctx context.Context, _ caller, _ *struct{}) (*stateOutput, error) {
			st, err := a.cfg.Network.State(ctx)
			return &stateOutput{st}, err
		})
	type tunnelsOutput struct{ Body NetworkTunnelList }
	register(a, get("list-network-tunnels", "/network/tunnels", "Public keys of the box's ends of WireGuard tunnels"),
		func(ctx context.Context, _ caller, _ *struct{}) (*tunnelsOutput, error) {
			all, err := a.cfg.Network.Tunnels(ctx)
			return &tunnelsOutput{NetworkTunnelList{append([]ctl.NetTunnel{}, all...)}}, err
		})
	type firewallOutput struct{ Body ctl.Firewall }
	register(a, get("get-network-firewall", "/network/firewall", "Rules of the packet filter in words with their counters, and who is banned"),
		func(ctx context.Context, _ caller, _ *struct{}) (*firewallOutput, error) {
			f, err := a.cfg.Network.Firewall(ctx)
			f.Rules, f.Banned = append([]ctl.FirewallRule{}, f.Rules...), append([]ctl.Ban{}, f.Banned...)
			f.Foreign, f.Conflicts = append([]string{}, f.Foreign...), append([]string{}, f.Conflicts...)
			return &firewallOutput{f}, err
		})
	a.networkRevisionOperations()
	a.networkChangeOperations()
	a.tunnelPeerOperation()
}

func (a *API) networkRevisionOperations() {
	type listOutput struct{ Body NetworkRevisionList }
	register(a, get("list-network-revisions", "/network/revisions", "The last confirmed networks, with who changed what"),
		func(ctx context.Context, _ caller, _ *struct{}) (*listOutput, error) {
			revs, err := a.cfg.Network.Revisions(ctx)
			return &listOutput{NetworkRevisionList{append([]ctl.NetRevision{}, revs...)}}, err
		})
	type oneInput struct {
		Number uint64 `path:"number"`
	}
	register(a, get("get-network-revision", "/network/revisions/{number}", "The network of a revision"),
		func(ctx context.Context, _ caller, in *oneInput) (*networkOutput, error) {
			doc, err := a.cfg.Network.Revision(ctx, in.Number)
			return &networkOutput{etag(doc.Number), doc}, err
		})
}

func (a *API) networkChangeOperations() {
	// What is wrong with a document is told by netd, all of it at once; huma's own check would come first.
	unchecked := func(op huma.Operation) huma.Operation {
		op.SkipValidateBody = true
		return with(http.MethodPost, op)
	}
	type planOutput struct{ Body ctl.NetPlan }
	register(a, unchecked(get("plan-network", "/network/plan", "What a change of the network would do, in words; nothing is changed")),
		func(ctx context.Context, who caller, in *networkChangeInput) (*planOutput, error) {
			p, err := a.proposal(ctx, who, in)
			if err != nil {
				return nil, err
			}
			plan, err := a.cfg.Network.Propose(ctx, p)
			return &planOutput{plan}, err
		})
	type candidateOutput struct{ Body ctl.NetCandidate }
	register(a, unchecked(get("apply-network", "/network/apply", "Apply a change of the network; it goes back by itself unless it is confirmed")),
		func(ctx context.Context, who caller, in *networkChangeInput) (out *candidateOutput, err error) {
			err = a.act(ctx, who, "network.apply", "", func(entry *record.Audit) error {
				p, err := a.proposal(ctx, who, in)
				if err != nil {
					return err
				}
				c, err := a.cfg.Network.Apply(ctx, p)
				entry.Detail = firstWords(strings.Join(c.Changes, "; "))
				out = &candidateOutput{c}
				return err
			})
			return out, err
		})
	type confirmOutput struct{ Body conf.Revision }
	register(a, with(http.MethodPost, get("confirm-network", "/network/confirm", "Make the applied change of the network last")),
		func(ctx context.Context, who caller, _ *struct{}) (out *confirmOutput, err error) {
			err = a.act(ctx, who, "network.confirm", "", func(entry *record.Audit) error {
				rev, err := a.cfg.Network.Confirm(ctx, who.Name)
				entry.Detail, out = fmt.Sprintf("revision %d", rev.Number), &confirmOutput{rev}
				return err
			})
			return out, err
		})
	register(a, with(http.MethodPost, get("revert-network", "/network/revert", "Take the applied change of the network back at once")),
		func(ctx context.Context, who caller, _ *struct{}) (*struct{}, error) {
			return nil, a.act(ctx, who, "network.revert", "", func(*record.Audit) error { return a.cfg.Network.Revert(ctx, who.Name) })
		})
}

// proposal is what a caller wants, with what netd must know of him to say whether it would cut him off.
func (a *API) proposal(ctx context.Context, who caller, in *networkChangeInput) (p ctl.NetProposal, err error) {
	if (len(in.Body.Document) == 0) == (in.Body.Restore == 0) {
		return p, problem.Fields("network.change", []problem.Fault{{
			Path: "document", Rule: "either document or restore is there", Cure: "send the whole document, or the number of a revision",
		}})
	}
	now, err := a.cfg.Network.Document(ctx)
	if err != nil {
		return p, err
	}
	p = ctl.NetProposal{Document: in.Body.Document, Restore: in.Body.Restore, ConfirmSeconds: in.Body.ConfirmSeconds, Who: who.Name, Client: who.source}
	if local, ok := ctx.Value(http.LocalAddrContextKey).(net.Addr); ok {
		if at, err := netip.ParseAddrPort(local.String()); err == nil {
			p.Local = at.Addr().Unmap()
		}
	}
	p.Revision, err = revision(now.Number, in.IfMatch)
	return p, err
}

// networkDocument describes the network document, whose type is netd's: on the way through it is
// only text.
func (a *API) networkDocument() {
	if a.cfg.NetworkType == nil {
		return
	}
	schemas := a.huma.OpenAPI().Components.Schemas
	ref := schemas.Schema(a.cfg.NetworkType, true, "Document")
	for _, t := range []reflect.Type{reflect.TypeFor[ctl.NetDocument](), reflect.TypeFor[ctl.NetCandidate](), reflect.TypeFor[NetworkChange](), reflect.TypeFor[ctl.NetPeerWish](), reflect.TypeFor[TunnelPeer]()} {
		if s := schemas.SchemaFromRef(schemas.Schema(t, true, t.Name()).Ref); s != nil {
			s.Properties["document"] = ref
		}
	}
}

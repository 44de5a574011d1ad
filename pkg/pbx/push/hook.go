package push

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/sip/pn"
)

// Hook is a relay of the enterprise's own, which holds the keys of its app: a POST to an address
// with placeholders, with the same values as JSON.
//
//	$provider $token $app-id $type (call or message) $call-id $uuid $from-uri $from-name $to-uri
type Hook struct {
	template string
	client   *http.Client
}

// NewHook returns a sender to an address with placeholders.
func NewHook(template string, client *http.Client) (*Hook, error) {
	u, err := url.Parse(strings.ReplaceAll(template, "$", "x"))
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || strings.Contains(strings.SplitN(template+"///", "/", 4)[2], "$") {
		return nil, problem.Fields("push.hook", []problem.Fault{{
			Path: "hook", Value: template, Rule: "an address of HTTP or HTTPS, with placeholders behind its host only", Cure: "for instance https://push.example.com/wake?token=$token",
		}})
	}
	return &Hook{template: template, client: client}, nil
}

// Send posts the note.
func (h *Hook) Send(ctx context.Context, d Device, n Note) error {
	token, ok := d.Token(n.Use)
	if !ok {
		return ErrUnable
	}
	values := map[string]string{
		"provider": d.Provider, "token": token, "app-id": d.Param, "type": kind(n), "call-id": n.CallID, "uuid": n.ID,
		"from-uri": n.From, "from-name": n.FromName, "to-uri": n.To,
	}
	var pairs []string
	for name, value := range values {
		pairs = append(pairs, "$"+name, url.QueryEscape(value))
	}
	status, text, err := post(ctx, h.client, strings.NewReplacer(pairs...).Replace(h.template), nil, values)
	if err != nil {
		return fmt.Errorf("ask the relay: %w", err)
	}
	return judge(status, firstWords(text))
}

func kind(n Note) string {
	if n.Use == pn.Call {
		return "call"
	}
	return "message"
}

// firstWords returns the beginning of an answer, for the log and the page.
func firstWords(text []byte) string {
	return strings.ToValidUTF8(strings.Join(strings.Fields(string(text[:min(len(text), 200)])), " "), "?")
}

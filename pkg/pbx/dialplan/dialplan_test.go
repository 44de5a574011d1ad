package dialplan

import (
	"testing"

	"github.com/coraltele/sanchar/pkg/pbx/account"
	"github.com/coraltele/sanchar/pkg/sip/aor"
)

func TestRoute(t *testing.T) {
	users := map[string]*account.Account{}
	for _, a := range []*account.Account{{Name: "bob", Numbers: []string{"101", "+912212345"}}, {Name: "off", Disabled: true}} {
		users[a.Name] = a
		for _, n := range a.Numbers {
			users[n] = a
		}
	}
	plan := &Plan{Ours: func(h string) bool { return h == "pbx.test" || h == "192.0.2.1" }, Lookup: func(n string) *account.Account { return users[n] }}
	for uri, want := range map[string]Decision{
		"sip:bob@pbx.test":                   {User: users["bob"], Dialed: "bob"},
		"sip:BOB@192.0.2.1;user=phone":       {User: users["bob"], Dialed: "BOB"},
		"sip:101@pbx.test":                   {User: users["bob"], Dialed: "101"},
		"tel:+91-22-12345":                   {User: users["bob"], Dialed: "+912212345"},
		"sip:1-0-1;phone-context=x@pbx.test": {User: users["bob"], Dialed: "101"},
		"sip:bob@pbx.test;gr=urn:uuid:7":     {User: users["bob"], Dialed: "bob", Instance: "urn:uuid:7"},
		"sip:bob@pbx.test;gr":                {Dialed: "bob", Code: 404},
		"sip:nobody@pbx.test":                {Dialed: "nobody", Code: 404},
		"sip:off@pbx.test":                   {Dialed: "off", Code: 404},
		"sip:bob@other.test":                 {Dialed: "bob", Code: 404},
		"sip:pbx.test":                       {Code: 484},
	} {
		u, err := aor.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		got := plan.Route(&u)
		if got.User != want.User || got.Instance != want.Instance || got.Dialed != want.Dialed || got.Code != want.Code || (got.Code != 0) != (got.Reason != "") {
			t.Errorf("%s: %+v, want %+v", uri, got, want)
		}
	}
}

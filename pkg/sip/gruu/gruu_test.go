package gruu

import (
	"testing"

	"github.com/coraltele/sanchar/pkg/sip/aor"
)

func TestAGRUUNamesItsInstance(t *testing.T) {
	for _, instance := range []string{"urn:uuid:657d8bcf-8691-00a1-91a1-08489a2f38d2", `odd; "name"? 100%,<>é`} {
		text := string(AppendPublic(nil, "sip:alice@pbx.test", TrimInstance("<"+instance+">")))
		u, err := aor.Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got, ok := Instance(&u); !ok || got != instance || u.AoR() != "sip:alice@pbx.test" {
			t.Errorf("%s: instance %q %v, want %q", text, got, ok, instance)
		}
	}
	for text, want := range map[string]bool{"sip:alice@pbx.test": false, "sip:x@pbx.test;gr": true} {
		u, _ := aor.Parse(text)
		if instance, ok := Instance(&u); ok != want || instance != "" {
			t.Errorf("%s: %q %v", text, instance, ok)
		}
	}
}

package composing

import (
	"testing"
	"time"
)

// active is what Linphone 5.1.65 sends while its user types.
const active = `<?xml version="1.0" encoding="UTF-8" standalone="no" ?><isComposing xmlns="urn:ietf:params:xml:ns:im-iscomposing"><state>active</state><refresh>60</refresh></isComposing>`

func TestParse(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]State{
		active: {Active: true, Refresh: time.Minute},
		`<isComposing><state>idle</state><contenttype>text/plain</contenttype></isComposing>`:  {ContentType: "text/plain", Refresh: defaultRefresh},
		`<isComposing><state>singing</state><refresh>-1</refresh></isComposing>`:               {Refresh: defaultRefresh},
		`<isComposing><state>active</state><refresh>99999999999999999</refresh></isComposing>`: {Active: true, Refresh: defaultRefresh},
	} {
		if got, err := Parse([]byte(doc)); err != nil || got != want {
			t.Errorf("%s read as %+v, %v", doc, got, err)
		}
	}
	for _, doc := range []string{`<isComposing/>`, `<other><state>active</state></other>`, `no document`, `<!DOCTYPE x>` + active} {
		if got, err := Parse([]byte(doc)); err == nil {
			t.Errorf("%s read as %+v", doc, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(active))
	f.Fuzz(func(t *testing.T, doc []byte) {
		if s, err := Parse(doc); err == nil && s.Refresh <= 0 {
			t.Fatalf("%q read as %+v", doc, s)
		}
	})
}

package install

import (
	"bytes"
	"testing"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/firmware/manifest"
)

func TestABundleIsDescribed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m, err := Describe(bytes.NewReader(r.bundle("1.1.0", nil)), r.target.Keys)
	if err != nil || m.Version != "1.1.0" || r.opens != 0 {
		t.Errorf("%+v, %v", m, err)
	}
	if _, err := Describe(bytes.NewReader(r.bundle("1.1.0", nil)), manifest.Keys{}); problem.Of(err).Code != "update.signature" {
		t.Errorf("without a key: %v", err)
	}
}

// FuzzDescribe reads what anybody may have put on a stick.
func FuzzDescribe(f *testing.F) {
	f.Add([]byte("no update"))
	f.Add(make([]byte, 1024))
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := Describe(bytes.NewReader(data), manifest.Keys{}); err == nil {
			t.Errorf("it was believed without a key: %+v", m)
		}
	})
}

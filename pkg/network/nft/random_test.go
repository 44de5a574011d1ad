package nft

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/coraltele/sanchar/pkg/network/filter"
	"github.com/coraltele/sanchar/pkg/testkit/netdocs"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// TestTheKernelTakesEveryRuleset applies what valid documents become, one after the other, so that each
// replaces another.
func TestTheKernelTakesEveryRuleset(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t)
	k := New(0)
	rapid.Check(t, func(rt *rapid.T) {
		r := filter.Build(netdocs.Draw(rt), facts())
		err := lab.Box.Do(func() error {
			if _, err := k.Apply(r); err != nil {
				return err
			}
			holds, err := k.Holds(r)
			if err == nil && !holds {
				rt.Errorf("the kernel holds something else")
			}
			return err
		})
		if err != nil {
			rt.Fatalf("%v\n%s", err, r)
		}
	})
}

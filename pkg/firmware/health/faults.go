package health

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Faults are what was wrong with a box's network at a moment. A new version is judged by what it made worse: a
// port that has never been there, or an address that the kernel has always refused, are not its fault.
type Faults struct {
	Fault   []string `json:"fault,omitempty"`   // why the network could not be set up
	Left    []string `json:"left,omitempty"`    // what is still to be done
	Waiting []string `json:"waiting,omitempty"` // ports that are not there
}

// FaultsOf asks what is wrong with the network now. What waits for the outside is left out: a cable that somebody
// pulls, or a name server that is away, says nothing of a version.
func FaultsOf(ctx context.Context, n Network) (f Faults, err error) {
	st, err := n.State(ctx)
	if err != nil {
		return f, err
	}
	if st.Fault != "" {
		f.Fault = strings.Split(st.Fault, "\n")
	}
	f.Left, f.Waiting = besides(st.Left, st.Later), st.Waiting
	return f, nil
}

// besides returns what of some texts is not among others.
func besides(texts, others []string) []string {
	return slices.DeleteFunc(slices.Clone(texts), func(s string) bool { return slices.Contains(others, s) })
}

// Beyond returns what is wrong that was not before.
func (f Faults) Beyond(before Faults) error {
	if fresh := besides(f.Fault, before.Fault); len(fresh) > 0 {
		return errors.New(strings.Join(fresh, "; "))
	}
	if fresh := append(besides(f.Left, before.Left), besides(f.Waiting, before.Waiting)...); len(fresh) > 0 {
		return fmt.Errorf("it is not as it should be yet: %s", strings.Join(fresh, "; "))
	}
	return nil
}

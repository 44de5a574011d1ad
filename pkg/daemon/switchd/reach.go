package switchd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/media/turn"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/seal"
)

// What mediad's STUN and TURN server is told, and what clients need for it. The secret lies sealed beside
// the accounts, so that credentials outlive a restart of either daemon.
const (
	reachFile    = "reach.secret"
	reachSize    = 32
	reachPort    = 3478
	reachDefault = 24 * time.Hour
	reachLongest = 180 * 24 * time.Hour // a provisioned phone is visited twice a year
)

// openReach reads the secret, or makes one.
func (d *Daemon) openReach() error {
	key, err := seal.Load(d.cfg.file("seal.key"), true, d.chip)
	if err != nil {
		return err
	}
	owner := seal.Owner(nil, "reach")
	sealed, err := os.ReadFile(d.cfg.file(reachFile))
	if err == nil {
		if d.reachSecret, err = key.Open(nil, sealed, owner); err != nil {
			return fmt.Errorf("read the secret of TURN: %w", err)
		}
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the secret of TURN: %w", err)
	}
	d.reachSecret = make([]byte, reachSize)
	_, _ = rand.Read(d.reachSecret) // never fails: the program would end
	if err := fsx.WriteFile(d.cfg.file(reachFile), key.Seal(nil, d.reachSecret, owner), 0o600); err != nil {
		return fmt.Errorf("keep the secret of TURN: %w", err)
	}
	return nil
}

// tellReach tells mediad what the policy wants. It is told again whenever mediad has come back.
func (d *Daemon) tellReach(ctx context.Context) {
	policy := d.mediaPolicy.Load()
	in := ctl.MediaReach{STUN: policy.STUN == ctl.On}
	if domain := d.users.Domain(); policy.TURN == ctl.On && domain != "" {
		in.Realm, in.Secret = domain, d.reachSecret
	}
	ctx, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	if _, err := d.media.SetReach(ctx, in); err != nil {
		d.log.Debug("mediad was not told who may relay", "err", err)
	}
}

// tellTime is how long mediad may take to hear it: it is told again when it comes back.
const tellTime = 2 * time.Second

// credentials makes some for a user who has an account and may use it.
func (d *Daemon) credentials(_ *http.Request, in ctl.ReachRequest) (ctl.ReachCredentials, error) {
	a := d.users.ByID(in.User)
	switch domain := d.users.Domain(); {
	case a == nil || a.Disabled:
		return ctl.ReachCredentials{}, problem.New(problem.Missing, "media.credentials.user", "there is no such user", "name one that is not disabled")
	case d.mediaPolicy.Load().TURN != ctl.On || domain == "":
		return ctl.ReachCredentials{}, problem.New(problem.Unavailable, "media.credentials.off", "the box does not relay for clients", "turn it on in the policy of media")
	default:
		until := time.Now().Add(lasting(in.Seconds)).Truncate(time.Second)
		out := ctl.ReachCredentials{Until: until, URIs: []string{"turn:" + net.JoinHostPort(domain, strconv.Itoa(reachPort)) + "?transport=udp"}}
		out.Username, out.Password = turn.Issue(d.reachSecret, a.Name, until)
		return out, nil
	}
}

func lasting(seconds uint32) time.Duration {
	if seconds == 0 {
		return reachDefault
	}
	return min(time.Duration(seconds)*time.Second, reachLongest)
}

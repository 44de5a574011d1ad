package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// boxStatus is what all daemons say of themselves. One that is away says nothing.
type boxStatus struct {
	Switch *ctl.SwitchStatus `json:"switchd"`
	Media  *ctl.MediaStatus  `json:"mediad"`
	Admin  *ctl.AdminStatus  `json:"admind"`
	Net    *ctl.NetStatus    `json:"netd"`
}

func status(ctx context.Context, t *terminal, args []string) error {
	return question{name: "status"}.ask(ctx, t, args, func(ctx context.Context, b *box, _ []string) error {
		st, err := b.status(ctx)
		if b.json {
			return errors.Join(err, printJSON(t.out, st))
		}
		printTable(t.out, []string{"PART", "STATE", "VERSION", "UP", "NOW"}, st.rows(time.Now()))
		for _, a := range st.alarms() {
			fmt.Fprintf(t.out, "ALARM %s: %s. To do: %s\n", a.Code, printable(a.Text), printable(a.Cure))
		}
		return err
	})
}

// status asks all daemons at once. The error is that of the first which does not answer.
func (b *box) status(ctx context.Context) (st boxStatus, err error) {
	var wg sync.WaitGroup
	var errs [4]error
	wg.Go(func() { st.Switch, errs[0] = answered(b.switchd.Status(ctx)) })
	wg.Go(func() { st.Media, errs[1] = answered(b.media.Status(ctx)) })
	wg.Go(func() { st.Admin, errs[2] = answered(b.admin.Status(ctx)) })
	wg.Go(func() { st.Net, errs[3] = answered(b.net.Status(ctx)) })
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return st, err
		}
	}
	return st, nil
}

func answered[T any](st T, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	return &st, nil
}

func (st boxStatus) rows(now time.Time) [][]string {
	return [][]string{
		statusRow("switchd", st.Switch, now, func(s *ctl.SwitchStatus) (string, time.Time, string) {
			return s.Version, s.Started, fmt.Sprintf("domain %s, %d users, %d registrations, %d calls, %d messages waiting, %d records to hand over",
				orDash(s.Domain), s.Users, s.Registrations, s.Calls, s.Messages, s.RecordsQueued)
		}),
		statusRow("mediad", st.Media, now, func(s *ctl.MediaStatus) (string, time.Time, string) {
			return s.Version, s.Started, fmt.Sprintf("%d sessions, %d streams, %d of ports %d-%d in use",
				s.Sessions, s.Streams, s.Ports.Used, s.Ports.First, s.Ports.Last)
		}),
		statusRow("admind", st.Admin, now, func(s *ctl.AdminStatus) (string, time.Time, string) {
			return s.Version, s.Started, fmt.Sprintf("page %s, set up: %s", orDash(s.Page), yesNo(s.SetUp))
		}),
		statusRow("netd", st.Net, now, func(s *ctl.NetStatus) (string, time.Time, string) { return s.Version, s.Started, orDash(s.Mode) }),
	}
}

func statusRow[T any](part string, st *T, now time.Time, tell func(*T) (version string, since time.Time, words string)) []string {
	if st == nil {
		return []string{part, "away", "-", "-", "-"}
	}
	version, since, words := tell(st)
	return []string{part, "answers", version, age(since, now), words}
}

// alarms returns those of all daemons, each once: one daemon may repeat another's.
func (st boxStatus) alarms() (all []ctl.Alarm) {
	if st.Switch != nil {
		all = append(all, st.Switch.Alarms...)
	}
	if st.Media != nil {
		all = append(all, st.Media.Alarms...)
	}
	if st.Admin != nil {
		all = append(all, st.Admin.Alarms...)
	}
	if st.Net != nil {
		all = append(all, st.Net.Alarms...)
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(all, func(a ctl.Alarm) bool {
		again := seen[a.Code]
		seen[a.Code] = true
		return again
	})
}

func showVersion(_ context.Context, t *terminal, args []string) error {
	if len(args) > 0 {
		return usageError{"version takes no argument"}
	}
	fmt.Fprintln(t.out, version)
	return nil
}

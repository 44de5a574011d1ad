package records

import (
	"fmt"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// space is what was seen of the disk.
type space struct {
	free  uint64
	asked time.Time
	low   time.Time // since when there is little; zero when there is enough
}

// Alarm codes.
const (
	alarmLow  = "archive.disk.low"
	alarmFull = "archive.disk.full"
)

// Free returns the bytes that are free for the archive, as seen within the last second.
func (a *Archive) Free() (uint64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if !a.space.asked.IsZero() && now.Sub(a.space.asked) < freePause {
		return a.space.free, nil
	}
	free, err := a.cfg.Free()
	if err != nil {
		return 0, err
	}
	a.space.free, a.space.asked = free, now
	switch {
	case free >= alarmFree:
		a.space.low = time.Time{}
	case a.space.low.IsZero():
		a.space.low = now
		a.cfg.Log.Error("the disk of the records fills", "free", free)
	}
	return free, nil
}

// room refuses a record of this kind on a disk that is nearly full.
func (a *Archive) room(kind record.Kind) error {
	free, err := a.Free()
	if err != nil {
		return err
	}
	least := uint64(refuseFree)
	if kind == record.KindAudit {
		least = auditFree
	}
	if free < least {
		return errDiskFull(fmt.Errorf("%d bytes free, %d are kept", free, least))
	}
	return nil
}

func errDiskFull(cause error) error {
	return problem.Wrap(cause, problem.Full, alarmFull, "the disk is full: records are not stored", "free disk space")
}

// Alarms returns what an admin must hear of.
func (a *Archive) Alarms() []ctl.Alarm {
	free, err := a.Free()
	if err != nil {
		return []ctl.Alarm{{Code: "archive.disk", Text: "the disk of the records cannot be read", Cure: "check the disk", Since: time.Now()}}
	}
	a.mu.Lock()
	since := a.space.low
	a.mu.Unlock()
	switch {
	case free < refuseFree:
		return []ctl.Alarm{{
			Code: alarmFull, Since: since, Cure: "free disk space, or keep records for fewer days",
			Text: fmt.Sprintf("only %d MB of disk are free: records are not stored, they wait in each part's queue; calls go on", free>>20),
		}}
	case free < alarmFree:
		return []ctl.Alarm{{
			Code: alarmLow, Since: since, Cure: "free disk space, or keep records for fewer days",
			Text: fmt.Sprintf("only %d MB of disk are free; below %d MB no records are stored", free>>20, refuseFree>>20),
		}}
	}
	return nil
}

// retain removes the files whose last record is older than the policy, at most one of a kind at a
// time: a clock that jumped ahead by years must not erase the archive at once.
func (a *Archive) retain(now time.Time) {
	days := a.cfg.Policy().KeepDays
	oldest := now.AddDate(0, 0, -days)
	for _, kind := range record.Kinds() {
		all := a.list(kind)
		if len(all) == 0 {
			continue
		}
		p := all[len(all)-1]
		if end := p.month.AddDate(0, 1, 0); end.After(oldest) {
			continue
		}
		if err := p.remove(); err != nil {
			a.cfg.Log.Error("an old file of records cannot be removed", "file", p.path, "err", err)
			continue
		}
		a.mu.Lock()
		delete(a.partitions, partitionName(p.kind, p.month))
		a.mu.Unlock()
		a.cfg.Log.Info("records that are too old were removed", "file", p.path, "keep_days", days)
	}
}

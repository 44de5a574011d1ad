package admind

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/coraltele/sanchar/pkg/platform/conf"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// watchSettings notes settings that we run well with.
func (d *Daemon) watchSettings(ctx context.Context) error {
	conf.Watch(ctx, d.log("conf"), d.settings, d.files.Settings())
	return nil
}

// crashAlarms tell which daemons crashed again and again since the box was started, and what was done.
func (d *Daemon) crashAlarms() (all []ctl.Alarm) {
	var crashes []ctl.BootCrash
	text, err := os.ReadFile(filepath.Join(d.cfg.RunDir, ctl.CrashFile))
	if err == nil {
		err = json.Unmarshal(text, &crashes)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.cfg.Log.Error("crashes are not known", "err", err)
	}
	for _, c := range crashes {
		all = append(all, ctl.Alarm{
			Code: "box.crashes." + c.Name,
			Text: c.Name + " crashed three times within a minute, the last time at " + c.At.UTC().Format("15:04:05") + " UTC (" + c.Reason +
				"): it was started with the settings that it last ran well with",
			Cure: "look at what was changed before that, in the log of admin acts and in the revisions of the network; the alarm ends with a restart of the box",
		})
	}
	return all
}

package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// chatKeep tells or sets how long messages wait.
func chatKeep(ctx context.Context, t *terminal, args []string) error {
	return question{name: "chat keep", most: 1}.ask(ctx, t, args, func(ctx context.Context, b *box, args []string) error {
		if len(args) == 1 {
			days, err := strconv.Atoi(args[0])
			if err != nil {
				return usageError{fmt.Sprintf("%q is no number of days", args[0])}
			}
			if err := b.switchd.SetChatPolicy(ctx, ctl.ChatPolicy{KeepDays: days}); err != nil {
				return err
			}
		}
		p, err := b.switchd.ChatPolicy(ctx)
		switch {
		case err != nil:
			return err
		case b.json:
			return printJSON(t.out, p)
		}
		fmt.Fprintf(t.out, "a message waits %d days for its recipient\n", p.KeepDays)
		return nil
	})
}

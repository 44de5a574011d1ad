package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

const (
	usersPerPage = 500
	importWithin = 10 * time.Minute // 100,000 users are hashed and written
	maxPassword  = 4096             // bytes of a password file; the switch has its own limit
)

func usersList(ctx context.Context, t *terminal, args []string) error {
	return question{name: "users list", most: 1}.ask(ctx, t, args, func(ctx context.Context, b *box, args []string) error {
		users, err := b.users(ctx, strings.Join(args, ""))
		if err != nil {
			return err
		}
		if b.json {
			return printJSON(t.out, users)
		}
		var rows [][]string
		for _, u := range users {
			state := "enabled"
			if u.Disabled {
				state = "disabled"
			}
			rows = append(rows, []string{u.Name, orDash(strings.Join(u.Numbers, ",")), orDash(u.DisplayName), state, fmt.Sprint(u.Devices), strings.Join(u.Algorithms, ",")})
		}
		printTable(t.out, []string{"NAME", "NUMBERS", "DISPLAY NAME", "STATE", "DEVICES", "DIGESTS"}, rows)
		return nil
	})
}

// users returns all users that hold text.
func (b *box) users(ctx context.Context, text string) ([]ctl.User, error) {
	all := []ctl.User{}
	for q := (ctl.UserQuery{Text: text, Limit: usersPerPage}); ; {
		page, err := b.switchd.Users(ctx, q)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Users...)
		if q.After = page.Next; q.After == "" {
			return all, nil
		}
	}
}

// user returns the user of exactly this name.
func (b *box) user(ctx context.Context, name string) (ctl.User, error) {
	users, err := b.users(ctx, name)
	if err != nil {
		return ctl.User{}, err
	}
	for _, u := range users {
		if u.Name == name { // RFC 3261 §19.1.4: the user part is compared as it is written
			return u, nil
		}
	}
	return ctl.User{}, problem.New(problem.Missing, "user.missing", fmt.Sprintf("there is no user %q", name), "see the names with: sanchar users list")
}

func usersAdd(ctx context.Context, t *terminal, args []string) error {
	var in ctl.NewUser
	var passwordFile string
	q := question{name: "users add", least: 1, most: 1 << 10, define: func(f *flag.FlagSet) {
		f.StringVar(&in.DisplayName, "display-name", "", "name that others see")
		f.StringVar(&in.Email, "email", "", "e-mail address")
		f.StringVar(&in.Phone, "phone", "", "phone number outside the box")
		f.StringVar(&passwordFile, "password-file", "", "file with the password (- is standard input); without it one is made")
	}}
	return q.ask(ctx, t, args, func(ctx context.Context, b *box, args []string) (err error) {
		in.Name, in.Numbers = args[0], args[1:]
		if in.Secret.Password, err = t.password(passwordFile); err != nil {
			return err
		}
		u, err := b.switchd.AddUser(ctx, in)
		if err != nil {
			return err
		}
		return b.printSecret(ctx, t, u)
	})
}

func usersReset(ctx context.Context, t *terminal, args []string) error {
	var passwordFile string
	q := question{name: "users reset-secret", least: 1, most: 1, define: func(f *flag.FlagSet) {
		f.StringVar(&passwordFile, "password-file", "", "file with the password (- is standard input); without it one is made")
	}}
	return q.ask(ctx, t, args, func(ctx context.Context, b *box, args []string) error {
		password, err := t.password(passwordFile)
		if err != nil {
			return err
		}
		u, err := b.user(ctx, args[0])
		if err != nil {
			return err
		}
		changed, err := b.switchd.ResetSecret(ctx, u.ID, ctl.Secret{Password: password})
		if err != nil {
			return err
		}
		return b.printSecret(ctx, t, changed)
	})
}

// password reads the first line of a file: a password among the arguments could be seen by other
// users of the machine. Without a file it is "", and the switch makes one.
func (t *terminal) password(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	r, closeFile, err := t.open(file)
	if err != nil {
		return "", err
	}
	defer closeFile()
	data, err := io.ReadAll(io.LimitReader(r, maxPassword))
	line, _, _ := strings.Cut(string(data), "\n")
	if line = strings.TrimSuffix(line, "\r"); err == nil && line == "" {
		err = problem.New(problem.Invalid, "password.empty", "the first line of "+file+" is empty", "write the password there")
	}
	return line, err
}

// open opens a file, or standard input for "-".
func (t *terminal) open(file string) (r io.Reader, closeFile func(), err error) {
	if file == "-" {
		return t.in, func() {}, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	return f, func() { _ = f.Close() }, nil // it was only read
}

// printSecret shows what a phone needs; a password that was made is shown this once.
func (b *box) printSecret(ctx context.Context, t *terminal, u ctl.UserWithSecret) error {
	if b.json {
		return printJSON(t.out, u)
	}
	rows := [][]string{{"user", u.Name}}
	if st, err := b.switchd.Status(ctx); err == nil {
		rows = append(rows, []string{"domain", orDash(st.Domain)})
	}
	if u.Password != "" {
		rows = append(rows, []string{"password", u.Password + "   (shown this once)"})
	}
	printTable(t.out, nil, rows)
	return nil
}

func usersImport(ctx context.Context, t *terminal, args []string) error {
	check := false
	q := question{name: "users import", least: 1, most: 1, within: importWithin, define: func(f *flag.FlagSet) {
		f.BoolVar(&check, "check", false, "tell what would be done and change nothing")
	}}
	return q.ask(ctx, t, args, func(ctx context.Context, b *box, args []string) error {
		r, closeFile, err := t.open(args[0])
		if err != nil {
			return err
		}
		defer closeFile()
		do := b.switchd.ImportUsers
		if check {
			do = b.switchd.CheckUsers
		}
		res, err := do(ctx, r)
		if err != nil {
			return err
		}
		if b.json {
			return printJSON(t.out, res)
		}
		fmt.Fprintln(t.out, importWords(res))
		return nil
	})
}

func importWords(res ctl.ImportResult) string {
	words := fmt.Sprintf("%d users added, %d changed", res.Added, res.Changed)
	if res.Weak > 0 {
		words += fmt.Sprintf("; %d of the passwords are weak", res.Weak)
	}
	return words
}

func usersDisable(ctx context.Context, t *terminal, args []string) error {
	return setDisabled(ctx, t, "users disable", args, true)
}

func usersEnable(ctx context.Context, t *terminal, args []string) error {
	return setDisabled(ctx, t, "users enable", args, false)
}

func setDisabled(ctx context.Context, t *terminal, name string, args []string, disabled bool) error {
	return question{name: name, least: 1, most: 1}.ask(ctx, t, args, func(ctx context.Context, b *box, args []string) error {
		u, err := b.user(ctx, args[0])
		if err != nil {
			return err
		}
		spec := u.UserSpec
		spec.Disabled = disabled
		if u, err = b.switchd.ChangeUser(ctx, u.ID, u.Revision, spec); err != nil {
			return err
		}
		if b.json {
			return printJSON(t.out, u)
		}
		fmt.Fprintf(t.out, "user %s is %s\n", printable(u.Name), map[bool]string{true: "disabled", false: "enabled"}[u.Disabled])
		return nil
	})
}

func usersRemove(ctx context.Context, t *terminal, args []string) error {
	return question{name: "users remove", least: 1, most: 1}.ask(ctx, t, args, func(ctx context.Context, b *box, args []string) error {
		u, err := b.user(ctx, args[0])
		if err != nil {
			return err
		}
		if err := b.switchd.RemoveUser(ctx, u.ID); err != nil {
			return err
		}
		if b.json {
			return printJSON(t.out, u)
		}
		fmt.Fprintf(t.out, "user %s is removed\n", printable(u.Name))
		return nil
	})
}

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// mediaPolicy tells or sets how calls are encrypted and what way their media takes.
func mediaPolicy(ctx context.Context, t *terminal, args []string) error {
	name := ""
	q := question{name: "media policy", most: 1 << 10, define: func(f *flag.FlagSet) {
		f.StringVar(&name, "user", "", "what is other for a user; without it, the site's")
	}}
	return q.ask(ctx, t, args, func(ctx context.Context, b *box, args []string) error {
		st, err := b.switchd.MediaPolicy(ctx)
		if err != nil {
			return err
		}
		if len(args) > 0 {
			if st, err = b.changeMediaPolicy(ctx, st, name, args); err != nil {
				return err
			}
		}
		if b.json {
			return printJSON(t.out, st)
		}
		if name != "" {
			return printRules(t, "user "+name, st.Users[name])
		}
		if err := printRules(t, "site", st.Site); err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(st.Users)) {
			if err := printRules(t, "user "+name, st.Users[name]); err != nil {
				return err
			}
		}
		return nil
	})
}

// changeMediaPolicy sets each NAME=VALUE of the site's rules, or of a user's.
func (b *box) changeMediaPolicy(ctx context.Context, st ctl.MediaPolicyState, name string, args []string) (ctl.MediaPolicyState, error) {
	policy := st.MediaPolicy
	rules := policy.Site
	if name != "" {
		rules = policy.Users[name]
	}
	rules, err := setRules(rules, args)
	if err != nil {
		return st, err
	}
	if name == "" {
		policy.Site = rules
	} else {
		policy.Users = maps.Clone(policy.Users)
		if policy.Users == nil {
			policy.Users = map[string]ctl.MediaRules{}
		}
		policy.Users[name] = rules
	}
	return b.switchd.SetMediaPolicy(ctx, ctl.MediaPolicyChange{Policy: policy, Was: st.Number, Who: whoAmI()})
}

// setRules reads each NAME=VALUE into the field of that name. A list has commas; nothing takes the
// rule away.
func setRules(rules ctl.MediaRules, args []string) (out ctl.MediaRules, err error) {
	fields, err := ruleFields(rules)
	if err != nil {
		return out, err
	}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok {
			return out, usageError{fmt.Sprintf("%q is not NAME=VALUE", arg)}
		}
		switch name {
		case "kinds", "suites", "codecs":
			list := []string{}
			if value != "" {
				list = strings.Split(value, ",")
			}
			fields[name] = list
		case "video_kbits":
			fields[name] = json.Number(value)
			if value == "" {
				fields[name] = 0
			}
		default:
			fields[name] = value
		}
	}
	data, err := json.Marshal(fields)
	if err != nil {
		return out, usageError{"video_kbits is a number"}
	}
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&out); err != nil {
		return out, usageError{strings.TrimPrefix(err.Error(), "json: ")}
	}
	return out, nil
}

func ruleFields(rules ctl.MediaRules) (fields map[string]any, err error) {
	data, err := json.Marshal(rules)
	if err == nil {
		err = json.Unmarshal(data, &fields)
	}
	return fields, err
}

func printRules(t *terminal, of string, rules ctl.MediaRules) error {
	fields, err := ruleFields(rules)
	if err != nil {
		return err
	}
	fmt.Fprintln(t.out, of)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		text := fmt.Sprint(fields[name])
		if list, ok := fields[name].([]any); ok {
			text = strings.Trim(strings.ReplaceAll(fmt.Sprint(list), " ", ","), "[]")
		}
		fmt.Fprintf(t.out, "  %s=%s\n", name, text)
	}
	return nil
}

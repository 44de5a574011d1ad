package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/notify"
)

// playDaemon is a daemon that answers just what "sanchar dev" asks. It keeps its arguments and its
// pid in its data folder.
func playDaemon(name string, args []string) int {
	if os.Getenv("PLAY_FAULT") == name {
		fmt.Fprintln(os.Stderr, "listen udp: address already in use")
		return 1
	}
	flags := map[string]string{}
	for i := 0; i+1 < len(args); i += 2 {
		flags[args[i]] = args[i+1]
	}
	p := &player{name: name, flags: flags}
	if err := p.play(args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("stopped")
	return 0
}

type player struct {
	name  string
	flags map[string]string
}

func (p *player) play(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	n, err := notify.New()
	if err != nil {
		return err
	}
	if err := p.keep("args", strings.Join(args, " ")); err != nil {
		return err
	}
	if err := p.keep("pid", strconv.Itoa(os.Getpid())); err != nil {
		return err
	}
	mux := http.NewServeMux()
	switch p.name {
	case "switchd":
		p.playSwitch(mux)
	case "mediad":
		ctl.Handle(mux, "GET /v1/status", func(*http.Request, ctl.None) (ctl.MediaStatus, error) {
			return ctl.MediaStatus{Version: strconv.Itoa(os.Getpid())}, nil
		})
	case "admind":
		if err := p.playAdmin(mux); err != nil {
			return err
		}
	case "netd":
		ctl.Handle(mux, "GET /v1/status", func(*http.Request, ctl.None) (ctl.NetStatus, error) { return ctl.NetStatus{}, nil })
		ctl.Handle(mux, "GET /v1/links", func(*http.Request, ctl.None) ([]ctl.Link, error) { return nil, nil })
	}
	sock, err := ctl.Listen(filepath.Join(p.flags["--run"], strings.TrimSuffix(p.name, "d")+".sock"))
	if err != nil {
		return err
	}
	fmt.Println("started")
	if err := n.Ready(); err != nil {
		return err
	}
	if err := sock.Serve(ctx, mux, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	if os.Getenv("PLAY_SLOW") == p.name {
		time.Sleep(500 * time.Millisecond)
	}
	f, err := os.OpenFile(filepath.Join(p.flags["--data"], "..", "stopped"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(p.name + " ")
	return errors.Join(err, f.Close())
}

func (p *player) keep(name, text string) error {
	if err := os.MkdirAll(p.flags["--data"], 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(p.flags["--data"], name), []byte(text), 0o600)
}

func (p *player) playSwitch(mux *http.ServeMux) {
	var users []ctl.User
	ctl.Handle(mux, "GET /v1/status", func(*http.Request, ctl.None) (ctl.SwitchStatus, error) {
		return ctl.SwitchStatus{Domain: p.flags["--domain"], Started: time.Now()}, nil
	})
	ctl.Handle(mux, "GET /v1/users", func(*http.Request, ctl.None) (ctl.UserPage, error) { return ctl.UserPage{Users: users}, nil })
	mux.HandleFunc("POST /v1/users/import", func(w http.ResponseWriter, r *http.Request) {
		in := bufio.NewScanner(r.Body)
		if in.Scan(); in.Text() != "user,password" {
			ctl.WriteProblem(w, problem.Fields("import", []problem.Fault{{Path: "line 1", Value: in.Text(), Rule: "a header row", Cure: "user,password"}}))
			return
		}
		for in.Scan() {
			name, _, _ := strings.Cut(in.Text(), ",")
			users = append(users, ctl.User{UserSpec: ctl.UserSpec{Name: name}})
		}
		fmt.Fprintf(w, `{"added": %d}`, len(users))
	})
}

func (p *player) playAdmin(mux *http.ServeMux) error {
	ctl.Handle(mux, "GET /v1/status", func(*http.Request, ctl.None) (ctl.AdminStatus, error) {
		return ctl.AdminStatus{Page: "https://127.0.0.1:" + p.flags["--https"]}, nil
	})
	if file := p.flags["--token-file"]; file != "" {
		if err := os.WriteFile(file, []byte("a token\n"), 0o600); err != nil {
			return err
		}
	}
	return p.keep(setupCodeFile, "ABCD-1234\n")
}

package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asDaemon makes the test binary the daemon itself.
const asDaemon = "ADMIND_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asDaemon) != "" {
		os.Args = append(os.Args[:1], strings.Fields(os.Getenv(asDaemon))...)
		main()
	}
	os.Exit(m.Run())
}

// supervisor is the other end of the notify convention.
type supervisor struct {
	t    *testing.T
	dir  string
	conn *net.UnixConn
	kept *os.File // the page's socket
}

func newSupervisor(t *testing.T) *supervisor {
	t.Helper()
	dir, err := os.MkdirTemp("", "ad-") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "n"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &supervisor{t: t, dir: dir, conn: conn}
}

func (s *supervisor) start(handOver bool) *exec.Cmd {
	s.t.Helper()
	cmd := exec.Command(os.Args[0])
	args := "-run " + s.dir + " -data " + filepath.Join(s.dir, "data") + " -bind 127.0.0.1 -https 0 -token-file " + filepath.Join(s.dir, "token")
	cmd.Env = append(os.Environ(), asDaemon+"="+args, "NOTIFY_SOCKET="+filepath.Join(s.dir, "n"), "WATCHDOG_USEC=200000")
	if handOver {
		cmd.ExtraFiles = []*os.File{s.kept}
		cmd.Env = append(cmd.Env, "LISTEN_FDS=1", "LISTEN_FDNAMES=https")
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	return cmd
}

// await reads messages until one says what is wanted; descriptors are kept.
func (s *supervisor) await(want string) {
	s.t.Helper()
	buf, oob := make([]byte, 4096), make([]byte, 4096)
	for {
		if err := s.conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			s.t.Fatal(err)
		}
		n, oobn, _, _, err := s.conn.ReadMsgUnix(buf, oob)
		if err != nil {
			s.t.Fatalf("%s was not said: %v", want, err)
		}
		if bytes.Contains(buf[:n], []byte("FDNAME=https")) && oobn > 0 {
			s.keep(oob[:oobn])
		}
		if strings.Contains(string(buf[:n]), want) {
			return
		}
	}
}

func (s *supervisor) keep(oob []byte) {
	s.t.Helper()
	msgs, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		s.t.Fatal(err)
	}
	fds, err := syscall.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		s.t.Fatalf("%v %v", fds, err)
	}
	s.kept = os.NewFile(uintptr(fds[0]), "kept")
}

func TestTheDaemonKeepsToItsSupervisor(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t)
	cmd := s.start(false)
	s.await("READY=1")
	s.await("WATCHDOG=1")
	if s.kept == nil {
		t.Fatal("the page's socket was not left with us")
	}
	ln, err := net.FileListener(s.kept)
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	ln.Close()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed, as planned

	waiting, err := net.Dial("tcp", address) // while nobody serves
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	cmd = s.start(true)
	s.await("READY=1")
	if err := tls.Client(waiting, &tls.Config{InsecureSkipVerify: true}).Handshake(); err != nil {
		t.Errorf("a connection that waited through the crash: %v", err)
	}
	begin := time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.await("STOPPING=1")
	if err := cmd.Wait(); err != nil {
		t.Errorf("a stop that was ordered: %v", err)
	}
	if d := time.Since(begin); d > 20*time.Second {
		t.Errorf("the stop took %v", d)
	}
	if token, err := os.ReadFile(filepath.Join(s.dir, "token")); err != nil || !strings.HasPrefix(string(token), "sanchar_") {
		t.Errorf("token file: %q, %v", token, err)
	}
}

func TestAFaultIsNoCleanExit(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"-https 70000", "-log loud", "-data /proc/nowhere"} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), asDaemon+"="+args)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "admind:") {
			t.Errorf("%s: %v %s", args, err, out)
		}
	}
}

func TestTheDocumentIsPrinted(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asDaemon+"=-openapi")
	out, err := cmd.Output()
	if err != nil || !json.Valid(out) {
		t.Errorf("%v: %.100s", err, out)
	}
}

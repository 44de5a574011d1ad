package slogx

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

func TestSecretsNeverReachTheLog(t *testing.T) {
	var out bytes.Buffer
	log := New(&out, NewLevels(TraceData))
	msg := "INVITE sip:b@x SIP/2.0\r\nProxy-Authorization: Digest username=\"a\", response=\"deadbeef\", qop=auth\r\n\r\n" +
		"v=0\r\nk=clear:hush\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0|2^20\r\na=ice-pwd:asd88fgpdd777uzjYhagZg\r\n"
	log.Log(t.Context(), TraceData, "message", "text", msg)
	log.Info("sign-in", "password", "pw-1", "ha1", "pw-2", "token", "pw-3", "err", errors.New(`bad: response="deadbeef"`))
	for _, secret := range []string{"deadbeef", "hush", "c2VjcmV0", "asd88fg", "pw-1", "pw-2", "pw-3"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%q is in the log:\n%s", secret, out.String())
		}
	}
	for _, kept := range []string{"username=", "qop=auth", "2^20", "TRACEDATA"} {
		if !strings.Contains(out.String(), kept) {
			t.Errorf("%q is missing from the log:\n%s", kept, out.String())
		}
	}
}

func TestRedactLeavesTextWithoutSecretsAlone(t *testing.T) {
	for _, text := range []string{"", "work=1", "a=rtpmap:0 PCMU/8000", "inlined", "x\nq=1"} {
		if got := Redact(text); got != text {
			t.Errorf("Redact(%q) = %q", text, got)
		}
	}
	if got := Redact(`response="a" response="b`); got != `response="(redacted)" response="(redacted)` {
		t.Errorf("an unended secret: %q", got)
	}
}

func TestLevelOfAPartChangesAtRunTime(t *testing.T) {
	var out bytes.Buffer
	levels := NewLevels(slog.LevelInfo)
	root := New(&out, levels)
	edge, call := Part(root, "edge"), Part(root, "call")
	edge.Debug("one")
	levels.Set("edge", slog.LevelDebug)
	edge.Debug("two")
	call.Debug("three")
	levels.Set("", slog.LevelError)
	call.Info("four")
	edge.Info("five")
	for text, want := range map[string]bool{"one": false, "two": true, "three": false, "four": false, "five": true} {
		if got := strings.Contains(out.String(), "msg="+text); got != want {
			t.Errorf("line %q in log: %v, want %v", text, got, want)
		}
	}
}

func TestParseLevel(t *testing.T) {
	for name, want := range map[string]slog.Level{"trace": Trace, "tracedata": TraceData, "warn": slog.LevelWarn} {
		if got, err := ParseLevel(name); err != nil || got != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := ParseLevel("loud"); err == nil || !strings.Contains(err.Error(), "tracedata") {
		t.Errorf("error %v does not name the levels", err)
	}
}

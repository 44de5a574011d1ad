package auth

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestGuessesAreThrottledAndNobodyIsLockedOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGuesses()
		evaluated := func(source netip.Addr, known bool, d time.Duration) (n int) {
			for begin := time.Now(); time.Since(begin) < d; time.Sleep(time.Second) {
				if _, err := g.take(source, known); err == nil {
					n++
				} else if w := new(Throttled); !errors.As(err, &w) || w.Wait <= 0 || code(err) != "signin.throttled" {
					t.Fatalf("%v", err)
				}
			}
			return n
		}
		if n := evaluated(here(), false, time.Minute); n > 30 || n < 10 {
			t.Errorf("%d guesses of a source in a minute", n)
		}
		if n := evaluated(here(), false, 24*time.Hour-time.Minute); n > 200 {
			t.Errorf("%d guesses of a source in a day", n)
		}
		_, _ = g.take(netip.AddrFrom16(here().As16()), false)
		if len(g.sources) != 1 {
			t.Error("the same address written as IPv6 begins anew")
		}
		for i := range 3 * maxSources { // a botnet
			_, _ = g.take(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), false)
		}
		if _, err := g.take(netip.MustParseAddr("198.51.100.7"), false); err == nil {
			t.Error("strangers in all are not throttled")
		}
		if _, err := g.take(netip.MustParseAddr("198.51.100.7"), true); err != nil {
			t.Errorf("an address that signed in before feels the botnet: %v", err)
		}
		if len(g.sources) > maxSources {
			t.Errorf("%d sources remembered", len(g.sources))
		}
		time.Sleep(2 * time.Second)
		if _, err := g.take(netip.MustParseAddr("198.51.100.8"), false); err != nil {
			t.Errorf("a stranger after the wait: %v", err)
		}
	})
}

func TestRightPasswordsCostNoGuesses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGuesses()
		for range 1000 {
			giveBack, err := g.take(here(), false)
			if err != nil {
				t.Fatal(err)
			}
			giveBack()
		}
		if _, err := g.take(netip.Addr{}, false); err != nil {
			t.Fatalf("a source without an address: %v", err)
		}
	})
}

func TestThirtySignInsAtOnceAreBounded(t *testing.T) {
	t.Parallel()
	g := newHashGate()
	release := make(chan struct{})
	var wg sync.WaitGroup
	for range hashAtOnce + hashWaiting {
		wg.Go(func() {
			if err := g.do(context.Background(), func() { <-release }); err != nil {
				t.Error(err)
			}
		})
	}
	for {
		g.mu.Lock()
		n := g.present
		g.mu.Unlock()
		if n == hashAtOnce+hashWaiting {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := g.do(t.Context(), func() {}); code(err) != "signin.busy" {
		t.Fatalf("one more: %v", err)
	}
	close(release)
	wg.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g.running <- struct{}{}
	g.running <- struct{}{}
	if err := g.do(ctx, func() { t.Error("it ran") }); !errors.Is(err, context.Canceled) {
		t.Fatalf("one that nobody waits for: %v", err)
	}
}

func TestPasswordRules(t *testing.T) {
	t.Parallel()
	for pw, ok := range map[string]bool{
		"":                           false,
		"short":                      false,
		"elevenchars":                false,
		"aaaaaaaaaaaa":               false,
		"123456789012":               false,
		"abcdefghijkl":               false,
		"qwertyuiopas":               false,
		"abc123abc123":               false,
		"password1234":               false,
		"P@ssw0rd2026!":              false,
		"admin-admin-1":              false,
		"Sanchar@12345":              false,
		"maharaja12345":              false, // the name
		"pbx.palace-99":              false, // the domain
		strings.Repeat("ab cd ", 60): false,
		"correct horse battery":      true,
		"tr0mb0ne Kettle 9":          true,
		"नमस्ते दुनिया भाई": true,
		"k3v!Zq8#mT2x": true,
	} {
		faults := CheckPassword("password", pw, "maharaja", "pbx.palace.example")
		if (faults == nil) != ok {
			t.Errorf("%q: %+v", pw, faults)
		}
		for _, f := range faults {
			if f.Path != "password" || f.Value != hidden || f.Rule == "" || f.Cure == "" {
				t.Errorf("%q: fault %+v", pw, f)
			}
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{"owner": true, "Asha Rao": true, "": false, " x": false, "a\nb": false, strings.Repeat("x", 65): false} {
		if (CheckName("name", name) == nil) != ok {
			t.Errorf("%q", name)
		}
	}
}

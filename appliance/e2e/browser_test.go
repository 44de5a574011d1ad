package e2e

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
	"github.com/coraltele/sanchar/pkg/testkit/phone"
)

// webPhone is what a page does for a call: it offers a tone, takes the answer, and listens.
const webPhone = `
globalThis.offer = async (hertz) => {
	const audio = globalThis.audio = new AudioContext();
	const tone = new OscillatorNode(audio, { frequency: hertz }), out = new MediaStreamAudioDestinationNode(audio);
	tone.connect(new GainNode(audio, { gain: 0.3 })).connect(out);
	tone.start();
	const pc = globalThis.pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
	pc.ontrack = ({ streams: [stream] }) => {
		const element = globalThis.element = new Audio();
		element.srcObject = stream; // without a player nothing is decoded
		element.muted = true;
		element.play();
		globalThis.ear = new AnalyserNode(audio, { fftSize: 16384, smoothingTimeConstant: 0 });
		audio.createMediaStreamSource(stream).connect(ear);
	};
	pc.addTrack(out.stream.getTracks()[0], out.stream);
	await pc.setLocalDescription();
	while (pc.iceGatheringState !== 'complete') await new Promise((r) => setTimeout(r, 20));
	return pc.localDescription.sdp;
};
globalThis.loudest = () => {
	if (!globalThis.ear) return 0;
	const spectrum = new Float32Array(ear.frequencyBinCount);
	ear.getFloatFrequencyData(spectrum);
	const top = spectrum.reduce((best, v, i) => (v > spectrum[best] ? i : best), 0);
	return spectrum[top] < -60 ? 0 : top * audio.sampleRate / ear.fftSize;
};
true`

// browser opens Chromium on a host's wire.
func browser(t *testing.T, h *netlab.Host) context.Context {
	t.Helper()
	if _, err := exec.LookPath("chromium"); err != nil {
		t.Skip("no chromium")
	}
	thread := 0
	if err := h.Do(func() error { thread = unix.Gettid(); return nil }); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(h.Dir, "chromium")
	text := fmt.Sprintf("#!/bin/sh\nexec nsenter --net=/proc/%d/task/%d/ns/net chromium \"$@\"\n", os.Getpid(), thread)
	if err := os.WriteFile(program, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	alloc, stop := chromedp.NewExecAllocator(t.Context(), chromedp.ExecPath(program), chromedp.UserDataDir(filepath.Join(h.Dir, "profile")), chromedp.Headless,
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"),
		chromedp.Flag("disable-features", "WebRtcHideLocalIpsWithMdns")) // nobody on the wire resolves such names
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(func() {
		cancel()
		stop()
	})
	if err := chromedp.Do(ctx); err != nil { // the browser lives as long as the context that it is started with
		t.Fatal(err)
	}
	if ready, err := chromedp.Run(ctx, chromedp.Evaluate[bool](webPhone)); err != nil || !ready {
		t.Fatal(err)
	}
	return ctx
}

// inPage evaluates an expression in the page, and waits for what it promises.
func inPage[T any](t *testing.T, ctx context.Context, script string) T {
	t.Helper()
	limited, cancel := context.WithTimeout(ctx, netlab.Patience)
	defer cancel()
	await := func(p *runtime.EvaluateParams) { p.AwaitPromise = new(true) }
	got, err := chromedp.Run(limited, chromedp.Evaluate[T](script, await))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// A browser calls a phone: one port for all, checks of connectivity, keys agreed by DTLS, Opus.
func TestABrowserCallsAPhone(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob")
	web, alice := browser(t, s.hosts["bob"]), s.phone("alice", "tcp")
	line := phone.Register(t, s.hosts["bob"], "bob", boxtest.Password("bob"), boxtest.Server(s.hosts["bob"], "udp"))
	offer := inPage[string](t, web, fmt.Sprintf("offer(%v)", hertz("bob")))
	line.Say = func(netip.AddrPort) string { return offer }
	calls := make(chan *phone.Call, 1)
	go func() {
		c, err := line.Invite("alice")
		if err != nil {
			t.Error(err)
		}
		calls <- c
	}()
	in := alice.Incoming()
	alice.Answer(in)
	call := <-calls
	if call == nil {
		return
	}
	_, answer, _ := strings.Cut(call.Heard(), "\r\n\r\n")
	inPage[bool](t, web, fmt.Sprintf("pc.setRemoteDescription({type: 'answer', sdp: %q}).then(() => true)", answer))
	alice.Record().Hears(hertz("bob"), hertz("alice"))
	for late := time.Now().Add(netlab.Patience); ; time.Sleep(100 * time.Millisecond) {
		got := inPage[float64](t, web, "loudest()")
		if math.Abs(got-hertz("alice")) < 10 {
			break
		}
		if time.Now().After(late) {
			t.Fatalf("the browser hears %.0f Hz, not %.0f; it is %s\n%s", got, hertz("alice"), inPage[string](t, web, "pc.connectionState"), answer)
		}
	}
	if status := call.HangUp(); status != 200 {
		t.Errorf("BYE was answered %d", status)
	}
	alice.Over(in)
	if got := secured(s.records(1)[0]); len(got) != 2 || got[0] != record.ProtectionDTLS {
		t.Errorf("legs are protected by %v, the browser's not by DTLS", got)
	}
}

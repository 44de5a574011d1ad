package image

import (
	"bufio"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// holdTime is longer than the board wants its button held.
const holdTime = 6 * time.Second

// withStick makes a stick with files, and a keyboard that stands for the button, part of a machine.
func (m *machine) withStick(files ...string) {
	m.t.Helper()
	stick := filepath.Join(filepath.Dir(m.disk), "stick.img")
	for _, cmd := range [][]string{
		{"truncate", "-s", "256M", stick}, {"mkfs.vfat", "-F", "32", stick}, append(append([]string{"mcopy", "-i", stick}, files...), "::"),
	} {
		if out, err := exec.Command(cmd[0], cmd[1:]...).CombinedOutput(); err != nil {
			m.t.Fatalf("%v: %v\n%s", cmd, err, out)
		}
	}
	m.more = append(m.more, "-device", "qemu-xhci,id=usb", "-device", "usb-kbd,bus=usb.0", "-drive", "if=none,id=stick,format=raw,file="+stick,
		"-device", "usb-storage,bus=usb.0,drive=stick", "-qmp", "unix:"+m.monitor()+",server=on,wait=off")
}

func (m *machine) monitor() string { return filepath.Join(filepath.Dir(m.disk), "qmp") }

// hold holds a key of the machine's keyboard.
func (m *machine) hold(key string, d time.Duration) {
	m.t.Helper()
	conn, err := net.Dial("unix", m.monitor())
	if err != nil {
		m.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	send := func(command string, arguments any) {
		m.t.Helper()
		text, err := json.Marshal(map[string]any{"execute": command, "arguments": arguments})
		if err == nil {
			_, err = conn.Write(text)
		}
		if err == nil {
			_, err = in.ReadString('\n') // of the greeting first, then of the answer before
		}
		if err != nil {
			m.t.Fatal(err)
		}
	}
	press := func(down bool) map[string]any {
		return map[string]any{"events": []any{map[string]any{
			"type": "key", "data": map[string]any{"down": down, "key": map[string]any{"type": "qcode", "data": key}},
		}}}
	}
	send("qmp_capabilities", map[string]any{})
	send("input-send-event", press(true))
	time.Sleep(d) // as a person does
	send("input-send-event", press(false))
}

// TestRescueByHand brings a box to another version from a stick, at its serial console, and then back to how it was
// delivered, by its button.
func TestRescueByHand(t *testing.T) {
	long(t)
	tools(t, "qemu-system-x86_64", "mksquashfs", "mkfs.vfat", "mcopy")
	m := flash(t, x86(), build(t, "qemu", "1.0.0").image)
	notes := filepath.Join(t.TempDir(), "notes.update")
	if err := os.WriteFile(notes, []byte("no update"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.withStick(build(t, "qemu", "2.0.0").update, notes)
	m.on()
	number := m.until(`msg=box serial=\S+`, 2*patience)
	o := setUp(t, m, m.setupCode())

	m.types("update sticks")
	m.until(`sign in first`, patience)
	m.types("sign-in Owner")
	m.types("correct horse battery")
	m.types("update sticks")
	m.until(`sda +.*notes\.update +- +the file is not a whole update`, patience)
	m.until(`sda +.*sanchar-qemu-2\.0\.0\.update +2\.0\.0 +-`, patience)
	m.types("update install --stick sda sanchar-qemu-2.0.0.update")
	m.until("this version is on trial", 2*patience)
	m.until("this version is well and stays", 2*patience)
	if st := o.state(); st.Version != "2.0.0" || len(st.Failed) != 0 {
		t.Fatalf("%+v", st)
	}

	m.hold("f12", time.Second)
	m.hold("f12", holdTime)
	m.until("the reset button was held", patience)
	m.until("factory reset: all data is erased", patience)
	if again := m.until(`msg=box serial=\S+`, patience); again != number {
		t.Errorf("the box's number is %q, was %q", again, number)
	}
	if code := m.setupCode(); code == "" {
		t.Error("the box does not ask to be set up")
	}
}

package netapply

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/coraltele/sanchar/pkg/network/netplan"
)

func TestKeysStayTheSameAndAreSealed(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	first, err := OpenKeys(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	private, err := first.Private("wg0")
	if err != nil {
		t.Fatal(err)
	}
	shared, err := first.Preshared("wg0", "peer/+=")
	if err != nil || shared == private {
		t.Fatal(shared == private, err)
	}
	again, err := OpenKeys(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	same, err := again.Private("wg0")
	public, err2 := again.Public("wg0")
	sharedAgain, err3 := again.Preshared("wg0", "peer/+=")
	if err != nil || err2 != nil || err3 != nil || same != private || public != private.PublicKey().String() || sharedAgain != shared {
		t.Errorf("the keys changed, or %v, %v, %v", err, err2, err3)
	}
	if other, err := again.Private("wg1"); err != nil || other == private {
		t.Errorf("two tunnels have one key, or %v", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.sealed"))
	if err != nil || len(files) != 3 {
		t.Fatalf("files %v, %v", files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		st, err2 := os.Stat(file)
		if err != nil || err2 != nil || bytes.Contains(data, private[:]) || bytes.Contains(data, shared[:]) || st.Mode().Perm() != 0o600 {
			t.Errorf("%s is readable (%v, %v)", file, err, err2)
		}
	}
	// A key of one tunnel is none of another.
	if err := os.Rename(filepath.Join(dir, "private-wg0.sealed"), filepath.Join(dir, "private-wg1.sealed")); err != nil {
		t.Fatal(err)
	}
	if _, err := again.Private("wg1"); err == nil {
		t.Error("the key of another tunnel was taken")
	}
}

func TestATunnelIsReadAsItIsWanted(t *testing.T) {
	t.Parallel()
	one, two := wgtypes.Key{1}, wgtypes.Key{2}
	network := func(s string) net.IPNet { _, n, _ := net.ParseCIDR(s); return *n }
	got := fromDevice(&wgtypes.Device{Name: "wg0", ListenPort: 51820, PrivateKey: wgtypes.Key{9}, Peers: []wgtypes.Peer{
		{PublicKey: two, AllowedIPs: []net.IPNet{network("2001:db8::/64"), network("10.2.0.0/16"), network("10.1.0.0/16")}, PersistentKeepaliveInterval: 25 * time.Second},
		{PublicKey: one, PresharedKey: wgtypes.Key{3}},
	}})
	want := netplan.Tunnel{Link: "wg0", ListenPort: 51820, Keyed: true, Peers: []netplan.Peer{
		{PublicKey: one.String(), Preshared: true},
		{PublicKey: two.String(), KeepaliveSeconds: 25, Allowed: nil},
	}}
	for _, p := range []string{"10.1.0.0/16", "10.2.0.0/16", "2001:db8::/64"} {
		want.Peers[1].Allowed = append(want.Peers[1].Allowed, prefix(p))
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

package transcode

import (
	"fmt"
	"testing"
	"time"
)

func TestKeysAreToldWhileThereAreTaps(t *testing.T) {
	t.Parallel()
	k, err := NewKeys()
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	tap := func(name string) *KeyTap { return k.Tap(8000, func(key string) { told = append(told, name+key) }) }
	a, b := tap("a"), tap("b")
	if !k.Start() || k.Start() {
		t.Error("it is given to no worker, or to two")
	}
	now := int64(time.Hour)
	for _, p := range keyPackets(keys, 5, 100, 3) {
		a.Hear(p, now)
		a.Hear(p, now) // doubled
		p[11] = 9      // of another source
		b.Hear(p, now)
		k.Work(now)
	}
	a.Release()
	for _, p := range keyPackets(keys, 6, 9000, 3) {
		a.Hear(p, now)
		b.Hear(p, now)
	}
	k.Work(now)
	if fmt.Sprint(told) != "[a5 b5 b6]" {
		t.Errorf("told %v", told)
	}
	if !k.Send(now) {
		t.Error("it ended though it has a tap")
	}
	b.Release()
	if k.Send(now) || !k.Start() {
		t.Error("it goes on without taps, or does not begin again")
	}
}

package mailbox

import (
	"sync"
	"testing"
)

func TestOrderOfEachSenderIsKept(t *testing.T) {
	const senders, each = 8, 1000
	box := New[[2]int]()
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				box.Put([2]int{s, i})
			}
		})
	}
	go func() { wg.Wait(); box.Close() }()

	var next [senders]int
	var spare [][2]int
	for open := true; open; {
		<-box.Ready()
		var items [][2]int
		items, open = box.Take(spare)
		for _, it := range items {
			if it[1] != next[it[0]] {
				t.Fatalf("sender %d: got item %d, want %d", it[0], it[1], next[it[0]])
			}
			next[it[0]]++
		}
		spare = items
	}
	for s, n := range next {
		if n != each {
			t.Errorf("sender %d: %d of %d items arrived", s, n, each)
		}
	}
}

func TestPutAfterCloseIsRefused(t *testing.T) {
	box := New[int]()
	box.Put(1)
	box.Close()
	if _, open := box.Put(2); open {
		t.Fatal("a closed box took an item")
	}
	items, open := box.Take(nil)
	if len(items) != 1 || open {
		t.Fatalf("got %v open=%v, want what waited and closed", items, open)
	}
}

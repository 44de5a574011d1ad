package jitter

const (
	// bins of the histogram of how late packets are; together they reach over the longest delay.
	bins = 64
	// forget is by how much each packet fades those before it: half is forgotten in 350 packets, 7 s of
	// speech.
	forget = 0.998
	// inTime is the share of packets that the delay is to let be in time.
	inTime = 0.97
	// windowSeconds is how long the earliest packet is remembered, so that clocks which differ move it:
	// 100 parts in a million are 1 ms in two windows.
	windowSeconds = 5
)

// delay learns how late packets come, against the earliest of them.
type delay struct {
	least, most int64 // of the target, in ticks
	target      int64
	bin         int64 // width in ticks
	weights     [bins]float32

	window           int64 // ticks
	begun            int64 // of this window
	earliest, former int64 // arrival less timestamp, in this window and the one before
	known            bool
}

func newDelay(least, most, clock int64) delay {
	return delay{least: least, most: most, target: least, bin: max(1, most/bins), window: windowSeconds * clock}
}

func (d *delay) reset() {
	d.known, d.target = false, d.least
	clear(d.weights[:])
}

// base is what the earliest packets take on their way.
func (d *delay) base() int64 { return min(d.earliest, d.former) }

// arrived takes a packet in.
func (d *delay) arrived(now, timestamp int64) {
	transit := now - timestamp
	switch {
	case !d.known:
		d.known, d.begun, d.earliest, d.former = true, now, transit, transit
	case now-d.begun >= d.window:
		d.begun, d.former, d.earliest = now, d.earliest, transit
	default:
		d.earliest = min(d.earliest, transit)
	}
	d.weigh(transit - d.base())
}

// weigh adds a packet that is so late to the histogram and moves the target to where it should be.
func (d *delay) weigh(late int64) {
	total := float32(0)
	for i := range d.weights {
		d.weights[i] *= forget
		total += d.weights[i]
	}
	d.weights[min(late/d.bin, bins-1)]++
	wanted, sum := inTime*(total+1), float32(0)
	for i, w := range d.weights {
		if sum += w; sum >= wanted {
			d.target = min(max(d.least+int64(i)*d.bin, d.least), d.most)
			return
		}
	}
}

package dtmf

import "math"

// Frequencies in hertz of rows and columns of the keys (ITU-T Q.23 §3).
var (
	rows    = [4]float64{697, 770, 852, 941}
	columns = [4]float64{1209, 1336, 1477, 1633}
)

// keys are laid out by row and column.
const keys = "123A456B789C*0#D"

// at is a key's place.
func (e Event) at() (row, column int) {
	for i := range len(keys) {
		if keys[i] == signs[e] {
			return i / 4, i % 4
		}
	}
	return 0, 0
}

// Levels of what the box makes, in dBm0: the upper frequency 2 dB louder, since lines lose more of
// it, and both well below overload (ITU-T Q.24 annex A).
const (
	rowLevel     = -11
	columnLevel  = -9
	overloadDBm0 = 3.14 // of a sine that just reaches the end of the range (ITU-T G.711 §4)
)

// rampSeconds is the time in which a tone comes and goes, so that its edges don't click.
const rampSeconds = 0.002

// Generator makes the tones of keys in samples. It is for one goroutine and does not allocate.
type Generator struct {
	rate      float64
	row, col  float64 // radians a sample
	rowPhase  float64
	colPhase  float64
	loud, way float64 // of the ramp, 0 to 1, and by how much it moves a sample
}

// NewGenerator returns a generator at a rate of samples a second.
func NewGenerator(rate int) *Generator { return &Generator{rate: float64(rate)} }

// Press starts the tones of a key.
func (g *Generator) Press(e Event) {
	if e >= Events {
		return
	}
	row, column := e.at()
	g.row, g.col = 2*math.Pi*rows[row]/g.rate, 2*math.Pi*columns[column]/g.rate
	g.rowPhase, g.colPhase, g.loud, g.way = 0, 0, 0, 1/(rampSeconds*g.rate)
}

// Release ends them.
func (g *Generator) Release() { g.way = -1 / (rampSeconds * g.rate) }

// Fill makes the next samples: the tones, or silence.
func (g *Generator) Fill(samples []int16) {
	rowPeak, colPeak := peak(rowLevel), peak(columnLevel)
	for i := range samples {
		g.loud = min(max(g.loud+g.way, 0), 1)
		if g.loud == 0 {
			samples[i] = 0
			continue
		}
		samples[i] = int16(g.loud * (rowPeak*math.Sin(g.rowPhase) + colPeak*math.Sin(g.colPhase)))
		g.rowPhase = math.Mod(g.rowPhase+g.row, 2*math.Pi)
		g.colPhase = math.Mod(g.colPhase+g.col, 2*math.Pi)
	}
}

// peak is the amplitude of a sine of this level.
func peak(dBm0 float64) float64 { return 32768 * math.Pow(10, (dBm0-overloadDBm0)/20) }

package g722

import "math"

// Both bands' pairs of filter coefficients h(0)..h(11); the other twelve are their mirror
// (ITU-T G.722 table 11).
var mirror = [12]int32{3, -11, -11, 53, 12, -156, 32, 362, -210, -805, 951, 3876}

// decisionLow are the levels LL6 up to which a difference of the lower band, less its sign, has the
// codes 1 to 29 (ITU-T G.722 table 14). Beyond the last it has code 30.
var decisionLow = [29]int32{
	35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786,
	858, 940, 1023, 1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919,
}

// decisionHigh parts the two levels of the upper band (ITU-T G.722 table 17).
const decisionHigh = 564

// levelLow4 is the inverse of the lower band's quantizer when only its four upper bits are looked at, as
// both sides do to adapt (ITU-T G.722 table 18, QQ4).
var levelLow4 = [16]int32{
	0, -20456, -12896, -8968, -6288, -4240, -2584, -1200,
	20456, 12896, 8968, 6288, 4240, 2584, 1200, 0,
}

// levelLow6 is the inverse of all six bits (table 18, QQ6). The four codes that no encoder sends
// are those of the smallest negative difference.
var levelLow6 = [64]int32{
	-136, -136, -136, -136, -24808, -21904, -19008, -16704,
	-14984, -13512, -12280, -11192, -10232, -9360, -8576, -7856,
	-7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576,
	-3168, -2776, -2400, -2032, -1688, -1360, -1040, -728,
	24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192,
	10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456,
	4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032,
	1688, 1360, 1040, 728, 432, 136, -432, -136,
}

// levelHigh is the inverse of the upper band's quantizer (table 18, QQ2).
var levelHigh = [4]int32{-7408, -1616, 7408, 1616}

// stepLow and stepHigh are by how much a code moves the logarithm of the quantizer's scale
// (ITU-T G.722 tables 19 and 20, WL and WH), by the code itself.
var (
	stepLow = [16]int32{
		-60, 3042, 1198, 538, 334, 172, 58, -30,
		3042, 1198, 538, 334, 172, 58, -30, -60,
	}
	stepHigh = [4]int32{798, -214, 798, -214}
)

// octave holds the values of an octave of the scale in 32 parts, ILB of ITU-T G.722 table 21.
var octave = makeOctave()

func makeOctave() (t [32]int32) {
	for i := range t {
		t[i] = int32(math.Round(2048 * math.Exp2(float64(i)/32)))
	}
	return t
}

// codeLow gives the six bits of an interval, 1 to 30, of a positive or negative difference (table 16):
// they count down from 61 and from 31, except that the two smallest negative ones have 63 and 62.
func codeLow(interval int32, negative bool) byte {
	switch {
	case !negative:
		return byte(62 - interval)
	case interval <= 2:
		return byte(64 - interval)
	}
	return byte(34 - interval)
}

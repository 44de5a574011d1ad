package g722

// band is the state of one sub-band's predictor and of the scale of its quantizer (ITU-T G.722 §3.5
// and §3.6). Encoder and decoder run the same one, so it must be exact to the bit.
type band struct {
	predicted int32    // of the next sample: S
	zeros     int32    // the part of it that the zeros make: SZ
	a1, a2    int32    // coefficients of the poles
	b         [6]int32 // coefficients of the zeros
	d         [6]int32 // quantized differences, newest first
	r1, r2    int32    // the last two reconstructed samples
	p1, p2    int32    // the last two partly reconstructed ones

	logScale int32 // NB
	scale    int32 // DET
}

// limits of a band's scale.
type limits struct{ greatest, shift int32 }

func lowLimits() limits  { return limits{greatest: 18432, shift: 8} }
func highLimits() limits { return limits{greatest: 22528, shift: 10} }

// rescale moves the scale by what the code says (LOGSCL, LOGSCH, SCALEL, SCALEH).
func (b *band) rescale(step int32, l limits) {
	b.logScale = min(max(b.logScale*127>>7+step, 0), l.greatest)
	value, shift := octave[b.logScale>>6&31], l.shift-b.logScale>>11
	if shift < 0 {
		value <<= -shift
	} else {
		value >>= shift
	}
	b.scale = value << 2
}

// adapt takes the quantized difference in and predicts the next sample (blocks 4L and 4H).
func (b *band) adapt(d int32) {
	r, p := saturate(b.predicted+d), saturate(b.zeros+d)
	b.adaptPoles(p)
	b.adaptZeros(d)
	b.d[5], b.d[4], b.d[3], b.d[2], b.d[1], b.d[0] = b.d[4], b.d[3], b.d[2], b.d[1], b.d[0], d
	b.r2, b.r1 = b.r1, r
	b.p2, b.p1 = b.p1, p
	b.predict()
}

// adaptPoles moves the coefficients by the signs of the samples, within what keeps the filter stable
// (UPPOL2, UPPOL1).
func (b *band) adaptPoles(p int32) {
	first := saturate(b.a1 << 2)
	toward, small := int32(192), int32(128)
	if sameSign(p, b.p1) {
		first = min(-first, 32767)
	} else {
		toward = -192
	}
	if !sameSign(p, b.p2) {
		small = -128
	}
	b.a2 = min(max(small+first>>7+b.a2*32512>>15, -12288), 12288)
	bound := saturate(15360 - b.a2)
	b.a1 = min(max(saturate(toward+b.a1*32640>>15), -bound), bound)
}

// adaptZeros moves the coefficients by the signs of the differences (UPZERO).
func (b *band) adaptZeros(d int32) {
	step := int32(128)
	if d == 0 {
		step = 0
	}
	for i := range b.b {
		move := step
		if !sameSign(d, b.d[i]) {
			move = -step
		}
		b.b[i] = saturate(move + b.b[i]*32640>>15)
	}
}

// predict runs both filters (FILTEP, FILTEZ, PREDIC).
func (b *band) predict() {
	poles := saturate(b.a1*saturate(2*b.r1)>>15 + b.a2*saturate(2*b.r2)>>15)
	zeros := int32(0)
	for i := range b.b {
		zeros += b.b[i] * saturate(2*b.d[i]) >> 15
	}
	b.zeros = saturate(zeros)
	b.predicted = saturate(poles + b.zeros)
}

func sameSign(x, y int32) bool { return x^y >= 0 }

func saturate(x int32) int32 { return min(max(x, -32768), 32767) }

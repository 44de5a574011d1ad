package journal

// Scan calls each for the whole frames that data begins with, data being a piece of a journal's
// file from a frame's start, and returns the bytes they take. It stops at a torn or damaged frame,
// and before a frame for which each returns an error.
func Scan(data []byte, each func(payload []byte) error) (used int64, err error) {
	for {
		payload, next, ok := frameAt(data, used)
		if !ok {
			return used, nil
		}
		if err := each(payload); err != nil {
			return used, err
		}
		used = next
	}
}

// FrameBytes returns what a payload of n bytes takes in the file.
func FrameBytes(n int) int64 { return headerBytes + int64(n) }

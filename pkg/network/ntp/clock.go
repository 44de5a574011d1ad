package ntp

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// timeConstant of the kernel's loop: the greater, the slower and steadier (RFC 5905 §11.3).
const timeConstant = 6

// Flags of adjtimex(2) that the unix package does not name.
const (
	adjOffset   = 0x0001
	adjMaxError = 0x0004
	adjEstError = 0x0008
	adjStatus   = 0x0010
	adjConstant = 0x0020
	adjSetOff   = 0x0100
	adjNano     = 0x2000
	staPLL      = 0x0001
	staNano     = 0x2000
)

// Kernel is the machine's clock. It needs CAP_SYS_TIME.
type Kernel struct{}

// Slew gives the offset to the kernel's phase-locked loop, which also learns how fast the clock goes,
// and says that the clock is synchronised, so that the hardware clock is set too.
func (Kernel) Slew(offset, uncertainty time.Duration) error {
	tx := unix.Timex{
		Modes: adjOffset | adjStatus | adjConstant | adjMaxError | adjEstError | adjNano, Status: staPLL | staNano,
		Constant: timeConstant,
	}
	setLong(&tx.Offset, offset.Nanoseconds())
	setLong(&tx.Maxerror, uncertainty.Microseconds())
	setLong(&tx.Esterror, uncertainty.Microseconds()/2)
	if _, err := unix.Adjtimex(&tx); err != nil {
		return fmt.Errorf("slew the clock: %w", err)
	}
	return nil
}

// Step sets the clock at once.
func (Kernel) Step(offset time.Duration) error {
	seconds := offset.Nanoseconds() / 1e9
	nanos := offset.Nanoseconds() % 1e9
	if nanos < 0 { // the kernel wants it so (adjtimex(2))
		seconds, nanos = seconds-1, nanos+1e9
	}
	tx := unix.Timex{Modes: adjSetOff | adjNano}
	setLong(&tx.Time.Sec, seconds)
	setLong(&tx.Time.Usec, nanos)
	if _, err := unix.Adjtimex(&tx); err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	return nil
}

// setLong sets a field that is as wide as the machine's words.
func setLong[T int32 | int64](field *T, v int64) { *field = T(v) }

// MayChange reports whether this process may change the clock: it asks for nothing.
func (Kernel) MayChange() bool {
	tx := unix.Timex{Modes: adjStatus}
	var now unix.Timex
	if _, err := unix.Adjtimex(&now); err != nil {
		return false
	}
	tx.Status = now.Status
	_, err := unix.Adjtimex(&tx)
	return err == nil
}

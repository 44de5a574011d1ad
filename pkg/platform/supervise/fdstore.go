package supervise

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Limits of what is held for one program.
const (
	maxStored = 16384 // media of 4,000 calls with RTP and RTCP ports apart

	// The names go to the program in one variable, and the kernel takes no longer string than
	// 128 KiB (MAX_ARG_STRLEN): beyond it the program could not be started again.
	maxNameBytes = 120 << 10
)

// stored is a descriptor of a program that we hold.
type stored struct {
	name string
	fd   int
	file fileID
}

// fileID tells descriptors of one file from those of another. The ends of a pipe differ in access only.
type fileID struct {
	dev, ino uint64
	access   int
}

// fdStore holds descriptors in the order in which they came. Several may have one name.
type fdStore struct {
	fds       []stored
	has       map[fileID]bool
	nameBytes int // of all names with a separator each
}

func newFDStore() *fdStore { return &fdStore{has: map[fileID]bool{}} }

// add takes fds over, also on an error. A file that is held already is not held twice, as with systemd.
func (st *fdStore) add(name string, fds []int) error {
	for i, fd := range fds {
		id, err := identify(fd)
		switch {
		case err != nil:
			closeAll(fds[i:])
			return fmt.Errorf("store %s: %w", name, err)
		case id != (fileID{}) && st.has[id]:
			_ = unix.Close(fd) // it is a copy
			continue
		case len(st.fds) == maxStored || st.nameBytes+len(name)+1 > maxNameBytes:
			closeAll(fds[i:])
			return fmt.Errorf("store %s: %d descriptors with names of %d bytes are held, more than %d or %d bytes are not",
				name, len(st.fds), st.nameBytes, maxStored, maxNameBytes)
		}
		st.fds = append(st.fds, stored{name: name, fd: fd, file: id})
		st.has[id] = true
		st.nameBytes += len(name) + 1
	}
	return nil
}

// identify returns no id for a file without an inode of its own (eventfd and its like).
func identify(fd int) (fileID, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return fileID{}, err
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil || stat.Mode&unix.S_IFMT == 0 {
		return fileID{}, err
	}
	return fileID{dev: uint64(stat.Dev), ino: stat.Ino, access: flags & unix.O_ACCMODE}, nil
}

// remove closes all descriptors of this name.
func (st *fdStore) remove(name string) {
	st.fds = slices.DeleteFunc(st.fds, func(s stored) bool {
		if s.name != name {
			return false
		}
		_ = unix.Close(s.fd) // nothing was written through it
		delete(st.has, s.file)
		st.nameBytes -= len(name) + 1
		return true
	})
}

func (st *fdStore) close() {
	for _, s := range st.fds {
		_ = unix.Close(s.fd)
	}
	st.fds, st.nameBytes = nil, 0
	clear(st.has)
}

// handOver returns what is held and the variables that tell a program of it (sd_listen_fds(3)).
func (st *fdStore) handOver() (fds []uintptr, env []string) {
	if len(st.fds) == 0 {
		return nil, nil
	}
	var names strings.Builder
	names.Grow(st.nameBytes)
	for i, s := range st.fds {
		if i > 0 {
			names.WriteByte(':')
		}
		names.WriteString(s.name)
		fds = append(fds, uintptr(s.fd))
	}
	return fds, []string{"LISTEN_FDS=" + strconv.Itoa(len(fds)), "LISTEN_FDNAMES=" + names.String()}
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

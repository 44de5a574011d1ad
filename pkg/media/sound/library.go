// Package sound gives what the box itself lets a party hear: tones, spoken texts, music and silence,
// one after another.
package sound

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/rtp/g722"
	"github.com/coraltele/sanchar/pkg/rtp/wav"
)

// Rate is the samples a second of all sounds: that of wideband speech.
const Rate = 16000

// Limits of a library.
const (
	// maxClip is the longest file: ten minutes of music.
	maxClip = 10 * 60 * Rate
	// maxKept samples stay in memory for the next who hears them: eight minutes, 16 MB.
	maxKept = 8 * 60 * Rate
)

// The folders of a library: one for each language, and one for music.
const (
	musicFolder     = "music"
	defaultLanguage = "en"
)

// Library finds sounds in files. Its methods may be called from any goroutine.
type Library struct {
	dirs []string

	mu   sync.Mutex // guards what follows
	kept map[string][]int16
	used []string // the keys of kept, the one used last at the end
	size int      // samples
}

// NewLibrary returns a library of folders; what stands in an earlier one goes before.
func NewLibrary(dirs ...string) *Library { return &Library{dirs: dirs, kept: map[string][]int16{}} }

// Whole reports whether the texts and the music of the box are there.
func (l *Library) Whole() bool {
	for _, folder := range []string{defaultLanguage, musicFolder} {
		found := false
		for _, dir := range l.dirs {
			names, err := filepath.Glob(filepath.Join(dir, folder, "*.g722"))
			found = found || (err == nil && len(names) > 0)
		}
		if !found {
			return false
		}
	}
	return true
}

// Prompt returns the samples of a text in a language, or in the default one if it is not there. They
// are for reading only.
func (l *Library) Prompt(language, name string) ([]int16, error) {
	if language != "" && language != musicFolder && isName(language) {
		if clip, err := l.clip(language, name); err == nil || !errors.Is(err, fs.ErrNotExist) {
			return clip, err
		}
	}
	return l.named("prompt", defaultLanguage, name)
}

// Music returns the samples of a piece of music.
func (l *Library) Music(name string) ([]int16, error) { return l.named("music", musicFolder, name) }

func (l *Library) named(kind, folder, name string) ([]int16, error) {
	clip, err := l.clip(folder, name)
	if err != nil {
		return nil, problem.Wrap(err, problem.Missing, "media.sound.missing", fmt.Sprintf("there is no %s %.64q", kind, name),
			"add a file of that name to the sounds, or choose another")
	}
	return clip, nil
}

// maxName is the longest name of a sound.
const maxName = 100

// isName reports whether a name can stand for a file in a folder of sounds.
func isName(name string) bool {
	ok := name != "" && len(name) <= maxName
	for _, c := range []byte(name) {
		ok = ok && (c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_')
	}
	return ok
}

func (l *Library) clip(folder, name string) ([]int16, error) {
	if !isName(name) {
		return nil, fmt.Errorf("%.64q is no name of a sound: %w", name, fs.ErrNotExist)
	}
	key := folder + "/" + name
	l.mu.Lock()
	clip, known := l.kept[key]
	if known {
		l.touchLocked(key)
	}
	l.mu.Unlock()
	if known {
		return clip, nil
	}
	clip, err := l.load(filepath.Join(folder, name))
	if err != nil {
		return nil, err
	}
	l.keep(key, clip)
	return clip, nil
}

// load reads a sound from the first folder that has it.
func (l *Library) load(path string) ([]int16, error) {
	for _, dir := range l.dirs {
		for suffix, read := range map[string]func(io.Reader) ([]int16, error){".g722": readG722, ".wav": readWAV} {
			f, err := os.Open(filepath.Join(dir, path+suffix))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			clip, err := read(f)
			if err = errors.Join(err, f.Close()); err != nil {
				return nil, fmt.Errorf("read %s: %w", f.Name(), err)
			}
			return clip, nil
		}
	}
	return nil, fmt.Errorf("sound %s: %w", path, fs.ErrNotExist)
}

// readG722 reads the bare octets of G.722 at 64 kbit/s: two samples each.
func readG722(r io.Reader) ([]int16, error) {
	codes, err := io.ReadAll(io.LimitReader(r, maxClip/2))
	if err != nil {
		return nil, err
	}
	clip := make([]int16, 2*len(codes))
	return clip[:g722.NewDecoder().Decode(clip, codes)], nil
}

var errFormat = errors.New("not of 16000 samples a second")

// readWAV reads a file of an admin's own.
func readWAV(r io.Reader) ([]int16, error) {
	file, err := wav.NewReader(r)
	if err != nil {
		return nil, err
	}
	f := file.Format()
	if f.Rate != Rate {
		return nil, errFormat
	}
	all := make([]int16, 0, Rate)
	buf := make([]int16, f.Channels*Rate)
	for err == nil && len(all) < maxClip {
		var n int
		n, err = file.Samples(buf)
		all = append(all, mono(buf[:n], f.Channels)...)
	}
	if err != nil && err != io.EOF {
		return nil, err
	}
	return all, nil
}

// mono makes one channel of several, in place.
func mono(samples []int16, channels int) []int16 {
	n := len(samples) / channels
	for i := range n {
		sum := 0
		for _, v := range samples[i*channels : (i+1)*channels] {
			sum += int(v)
		}
		samples[i] = int16(sum / channels)
	}
	return samples[:n]
}

// keep keeps a clip in memory, and lets go of those that were not heard for longest.
func (l *Library) keep(key string, clip []int16) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept[key] != nil {
		return
	}
	l.kept[key] = clip
	l.size += len(clip)
	l.touchLocked(key)
	for l.size > maxKept && len(l.used) > 1 {
		l.size -= len(l.kept[l.used[0]])
		delete(l.kept, l.used[0])
		l.used = l.used[1:]
	}
}

func (l *Library) touchLocked(key string) {
	for i, k := range l.used {
		if k == key {
			l.used = append(l.used[:i], l.used[i+1:]...)
			break
		}
	}
	l.used = append(l.used, key)
}

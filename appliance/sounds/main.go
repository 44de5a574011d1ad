// Sounds makes the spoken texts and the hold music of the box when it is built: texts by espeak-ng from a
// table, music by itself. All are written as G.722 at 64 kbit/s.
package main

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/coraltele/sanchar/pkg/media/sound"
	"github.com/coraltele/sanchar/pkg/rtp/g722"
)

// texts has a line for each prompt: its name, then the text in each language, apart by tabs. The first
// line names the languages.
//
//go:embed prompts.tsv
var texts string

func main() {
	out := flag.String("out", "build/share/sounds", "folder of the sounds")
	flag.Parse()
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, "sounds:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	if err := write(filepath.Join(out, "music", "default.g722"), compose()); err != nil {
		return err
	}
	table, err := parse(texts)
	if err != nil {
		return err
	}
	for _, t := range table {
		samples, err := speak(t.language, t.text)
		if err != nil {
			return fmt.Errorf("speak %q: %w", t.text, err)
		}
		if err := write(filepath.Join(out, t.language, t.name+".g722"), samples); err != nil {
			return err
		}
	}
	return nil
}

// prompt is one text in one language.
type prompt struct{ name, language, text string }

func parse(table string) (all []prompt, err error) {
	var languages []string
	for i, line := range strings.Split(strings.TrimSpace(table), "\n") {
		fields := strings.Split(line, "\t")
		if i == 0 {
			languages = fields[1:]
			continue
		}
		if len(fields) != 1+len(languages) {
			return nil, fmt.Errorf("line %d of the table has %d fields, not %d", i+1, len(fields), 1+len(languages))
		}
		for j, language := range languages {
			all = append(all, prompt{fields[0], language, fields[j+1]})
		}
	}
	return all, nil
}

// wordsPerMinute is a little slower than people talk: these texts are heard once, on a telephone.
const wordsPerMinute = "150"

// speak returns the samples of a text. sox brings them to the rate of sounds, cuts the silence around
// them, and makes them all as loud: peaks at -9 dB leave room for a volume.
func speak(language, text string) ([]int16, error) {
	voice := exec.Command("espeak-ng", "-v", language, "-s", wordsPerMinute, "--stdout", text)
	voice.Stderr = os.Stderr
	spoken, err := voice.Output()
	if err != nil {
		return nil, fmt.Errorf("espeak-ng: %w", err)
	}
	convert := exec.Command("sox", "-R", "-t", "wav", "--ignore-length", "-", "-t", "raw", "-e", "signed", "-b", "16", "-L", "-c", "1",
		"-r", fmt.Sprint(sound.Rate), "-", "silence", "1", "0.02", "0.1%", "reverse", "silence", "1", "0.02", "0.1%", "reverse", "gain", "-n", "-9")
	convert.Stdin, convert.Stderr = bytes.NewReader(spoken), os.Stderr
	raw, err := convert.Output()
	if err != nil {
		return nil, fmt.Errorf("sox: %w", err)
	}
	samples := make([]int16, len(raw)/2)
	for i := range samples {
		samples[i] = int16(binary.LittleEndian.Uint16(raw[2*i:]))
	}
	return samples, nil
}

// write writes samples as G.722, with a tenth of a second of silence around them.
func write(path string, samples []int16) error {
	pause := make([]int16, sound.Rate/10)
	samples = append(append(pause, samples...), pause...)
	codes := make([]byte, (len(samples)+1)/2)
	codes = codes[:g722.NewEncoder().Encode(codes, samples)]
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, codes, 0o644)
}

package kernel

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Modules knows the modules of one kernel.
type Modules struct {
	Dir     string              // lib/modules/RELEASE
	path    map[string]string   // name -> file below Dir
	needs   map[string][]string // name -> names, those of modules.dep, nearest first
	soft    map[string][]string // name -> names that should be there before
	alias   map[string][]string // alias -> names
	builtin map[string]bool
}

// Read reads what depmod knows of the modules below root, which was unpacked from a package.
func Read(ctx context.Context, root, release string) (*Modules, error) {
	if out, err := exec.CommandContext(ctx, "depmod", "-b", root, release).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("depmod (package kmod): %w\n%s", err, out)
	}
	m := &Modules{
		Dir: filepath.Join(root, "lib/modules", release), path: map[string]string{}, needs: map[string][]string{}, soft: map[string][]string{},
		alias: map[string][]string{}, builtin: map[string]bool{},
	}
	for file, take := range map[string]func(string){
		"modules.dep": m.takeDep, "modules.softdep": m.takeSoft, "modules.builtin": func(l string) { m.builtin[nameOf(l)] = true }, "modules.alias": m.takeAlias,
	} {
		if err := eachLine(filepath.Join(m.Dir, file), take); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func eachLine(path string, take func(string)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		take(s.Text())
	}
	return s.Err()
}

// nameOf is a module's name as the kernel has it, from its file.
func nameOf(file string) string {
	return strings.ReplaceAll(strings.TrimSuffix(filepath.Base(file), ".ko"), "-", "_")
}

func (m *Modules) takeDep(line string) {
	file, deps, ok := strings.Cut(line, ":")
	if !ok {
		return
	}
	name := nameOf(file)
	m.path[name] = file
	for d := range strings.FieldsSeq(deps) {
		m.needs[name] = append(m.needs[name], nameOf(d))
	}
}

func (m *Modules) takeSoft(line string) {
	fields := strings.Fields(line)
	if len(fields) < 3 || fields[0] != "softdep" {
		return
	}
	name, pre := nameOf(fields[1]), false
	for _, f := range fields[2:] {
		switch {
		case f == "pre:" || f == "post:":
			pre = f == "pre:"
		case pre:
			m.soft[name] = append(m.soft[name], f)
		}
	}
}

func (m *Modules) takeAlias(line string) {
	if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "alias" && !strings.ContainsAny(fields[1], "*?[") {
		m.alias[fields[1]] = append(m.alias[fields[1]], nameOf(fields[2]))
	}
}

// Closure returns the files of modules and of all that they need, in an order in which each can be
// loaded. A module that is part of the kernel itself needs no file; one that does not exist is an error.
func (m *Modules) Closure(names []string) (files []string, err error) {
	seen := map[string]bool{}
	var missing []string
	var add func(name string)
	add = func(name string) {
		name = strings.ReplaceAll(name, "-", "_")
		if seen[name] || m.builtin[name] {
			return
		}
		seen[name] = true
		file, ok := m.path[name]
		if !ok {
			missing = append(missing, name)
			return
		}
		for _, s := range m.soft[name] {
			for _, real := range m.resolve(s) {
				add(real)
			}
		}
		for _, d := range slices.Backward(m.needs[name]) {
			add(d)
		}
		files = append(files, file)
	}
	for _, n := range names {
		add(n)
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("the kernel has no module %s: correct board.json", strings.Join(missing, ", "))
	}
	return files, nil
}

// resolve finds the modules of a soft dependency, which may be an alias as crypto-crc32c is: then the
// plain one in C is enough.
func (m *Modules) resolve(name string) []string {
	n := strings.ReplaceAll(name, "-", "_")
	if m.path[n] != "" || m.builtin[n] {
		return []string{n}
	}
	for _, c := range m.alias[name] {
		if strings.HasSuffix(c, "_generic") {
			return []string{c}
		}
	}
	return nil
}

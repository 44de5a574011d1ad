package layers

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/coraltele/sanchar"

// source is one parsed Go file of the module.
type source struct {
	path, dir string // relative to the module, with slashes
	test      bool
	text      string
	file      *ast.File
	fset      *token.FileSet
	imports   []string
}

var parsed = sync.OnceValues(parseAll)

// sources returns every Go file of the module, tests included.
func sources(t *testing.T) []source {
	t.Helper()
	all, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func parseAll() ([]source, error) {
	root, err := filepath.Abs("../..")
	if err != nil {
		return nil, err
	}
	var all []source
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "build" || d.Name() == "var" ||
			d.Name() == "testdata" || (strings.HasPrefix(d.Name(), ".") && path != root)) {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		s, err := parseFile(root, path)
		if err == nil {
			all = append(all, s)
		}
		return err
	})
	return all, err
}

func parseFile(root, path string) (source, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return source{}, err
	}
	rel, err := filepath.Rel(root, path)
	if err != nil {
		return source{}, err
	}
	s := source{path: filepath.ToSlash(rel), text: string(text), fset: token.NewFileSet(), test: strings.HasSuffix(path, "_test.go")}
	s.dir = filepath.ToSlash(filepath.Dir(rel))
	if s.file, err = parser.ParseFile(s.fset, path, text, parser.ParseComments); err != nil {
		return source{}, err
	}
	for _, imp := range s.file.Imports {
		p, err := strconv.Unquote(imp.Path.Value)
		if err != nil {
			return source{}, err
		}
		s.imports = append(s.imports, p)
	}
	return s, nil
}

// at returns file:line of a node.
func (s source) at(n ast.Node) string {
	return s.path + ":" + strconv.Itoa(s.fset.Position(n.Pos()).Line)
}

package layers

import (
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	documented := map[string]bool{}
	for _, f := range sources(t) {
		if !f.test {
			documented[f.dir] = documented[f.dir] || f.file.Doc != nil
		}
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s: no package comment", dir)
		}
	}
}

func TestExportedNamesAreExplained(t *testing.T) {
	for _, f := range sources(t) {
		if f.test || f.file.Name.Name == "main" {
			continue
		}
		for _, decl := range f.file.Decls {
			for _, name := range undocumented(decl) {
				t.Errorf("%s: exported %s has no comment", f.at(decl), name)
			}
		}
	}
}

func undocumented(decl ast.Decl) (names []string) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
			names = append(names, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
					names = append(names, s.Name.Name)
				}
			case *ast.ValueSpec:
				if s.Names[0].IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
					names = append(names, s.Names[0].Name)
				}
			}
		}
	}
	return names
}

// exportedReceiver reports whether f is a function, or a method that readers of the package's
// documentation see. Methods of well-known interfaces explain themselves.
func exportedReceiver(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	switch f.Name.Name {
	case "String", "Error", "Unwrap", "Close", "MarshalJSON", "UnmarshalJSON", "Len", "Less", "Swap", "ServeHTTP":
		return false
	}
	typ := f.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if generic, ok := typ.(*ast.IndexExpr); ok {
		typ = generic.X
	}
	id, ok := typ.(*ast.Ident)
	return ok && id.IsExported()
}

// One way to cite: "RFC 3261 §12.2.2", or "RFC 3261" for the whole.
var badCitation = regexp.MustCompile(`\bRFC-?\d{3,5}\b|\b[Rr]fc[ -]?\d{3,5}\b|RFC \d{3,5},? ([Ss]ection|[Ss]ec\.|s\.)|RFC \d{3,5} § `)

func TestRFCsAreCitedOneWay(t *testing.T) {
	for _, f := range sources(t) {
		for _, group := range f.file.Comments {
			for _, c := range group.List {
				if bad := badCitation.FindString(c.Text); bad != "" {
					t.Errorf(`%s: %q is not written as "RFC 3261 §12.2.2"`, f.at(c), bad)
				}
			}
		}
	}
}

func TestPurePackagesReadNoClock(t *testing.T) {
	for _, f := range sources(t) {
		if _, p, _, err := place(strings.TrimPrefix(f.dir, "pkg/")); f.test || !strings.HasPrefix(f.dir, "pkg/") || err != nil || !p.pure {
			continue
		}
		ast.Inspect(f.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if id, ok := n.X.(*ast.Ident); ok && id.Name == "time" && (n.Sel.Name == "Now" || n.Sel.Name == "Since" || n.Sel.Name == "AfterFunc" || n.Sel.Name == "NewTimer") {
					t.Errorf("%s: time.%s in a pure package", f.at(n), n.Sel.Name)
				}
			case *ast.GoStmt:
				t.Errorf("%s: goroutine in a pure package", f.at(n))
			}
			return true
		})
	}
}

func TestNoInitFunctions(t *testing.T) {
	for _, f := range sources(t) {
		for _, decl := range f.file.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s: func init", f.at(fn))
			}
		}
	}
}

// A package variable is allowed as a constant that Go cannot write as one: it has a value from the
// start and nothing in its package changes it.
func TestNoPackageVariableIsState(t *testing.T) {
	vars := map[string]map[string]bool{} // package folder -> names of its variables
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		for _, v := range packageVars(f) {
			if vars[f.dir] == nil {
				vars[f.dir] = map[string]bool{}
			}
			for i, id := range v.Names {
				vars[f.dir][id.Name] = true
				if len(v.Values) <= i && !strings.Contains(f.text, "//go:embed") && id.Name != "_" {
					t.Errorf("%s: package variable %s has no value: state belongs to a type", f.at(id), id.Name)
				}
			}
		}
	}
	for _, f := range sources(t) {
		if !f.test {
			changed(f, vars[f.dir], func(n ast.Node, name string) {
				t.Errorf("%s: package variable %s is changed: state belongs to a type", f.at(n), name)
			})
		}
	}
}

func packageVars(f source) (vars []*ast.ValueSpec) {
	for _, decl := range f.file.Decls {
		if d, ok := decl.(*ast.GenDecl); ok && d.Tok == token.VAR {
			for _, spec := range d.Specs {
				vars = append(vars, spec.(*ast.ValueSpec))
			}
		}
	}
	return vars
}

// changed reports each assignment to, or address taken of, a package variable. A local of the same
// name is told apart by the parser's own scopes.
func changed(f source, names map[string]bool, report func(ast.Node, string)) {
	isVar := func(e ast.Expr) (string, bool) {
		for {
			switch x := e.(type) {
			case *ast.IndexExpr:
				e = x.X
			case *ast.SelectorExpr:
				e = x.X
			case *ast.ParenExpr:
				e = x.X
			case *ast.Ident:
				local := x.Obj != nil && f.file.Scope.Lookup(x.Name) != x.Obj
				return x.Name, names[x.Name] && !local && x.Name != "_"
			default:
				return "", false
			}
		}
	}
	ast.Inspect(f.file, func(n ast.Node) bool {
		var targets []ast.Expr
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				targets = n.Lhs
			}
		case *ast.IncDecStmt:
			targets = []ast.Expr{n.X}
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				targets = []ast.Expr{n.X}
			}
		}
		for _, e := range targets {
			if name, ok := isVar(e); ok {
				report(n, name)
			}
		}
		return true
	})
}

// mainLines bounds a program's main.go: flags, logger, New, Run and signals, nothing else.
const mainLines = 120

func TestProgramsOnlyAssemble(t *testing.T) {
	mains, err := filepath.Glob("../../appliance/*d/main.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range mains {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), "\n"); n > mainLines {
			t.Errorf("%s: %d lines, more than %d", name, n, mainLines)
		}
	}
}

func TestTopLevelHoldsNothingElse(t *testing.T) {
	want := map[string]bool{
		"appliance": true, "pkg": true, "board": true, "image": true, "testdata": true,
		"go.mod": true, "go.sum": true, "Makefile": true, "README.md": true, "LICENSE": true,
		"build": true, "var": true, // made by make, ignored by git
	}
	entries, err := os.ReadDir("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !want[e.Name()] && !strings.HasPrefix(e.Name(), ".") {
			t.Errorf("top level holds %s", e.Name())
		}
	}
}

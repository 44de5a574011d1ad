package account

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// maxImportFaults bounds the list of faults of an import: who has more has the wrong file.
const maxImportFaults = 100

// importRow is one line of the file.
type importRow struct {
	line   int
	spec   ctl.UserSpec
	secret ctl.Secret
	given  []string // names of the columns that the file has
}

// Import adds or changes the users of a CSV file with a header row: user or number, password or
// ha1, optionally name (to display), email, phone. A user that exists is changed in the columns
// that the file has. With a fault anywhere nothing is changed, and all faults are told;
// with check nothing is changed in any case.
func (d *Directory) Import(r io.Reader, check bool) (res ctl.ImportResult, err error) {
	rows, fs := readRows(io.LimitReader(r, maxImportBytes))
	if err := problem.Fields("import", fs); err != nil {
		return res, err
	}
	d.edit.Lock()
	accounts, res, fs := d.plan(rows)
	if err = problem.Fields("import", fs); err == nil && !check {
		err = d.commit(accounts, nil)
	}
	d.edit.Unlock()
	if err != nil {
		return ctl.ImportResult{}, err
	}
	if check {
		return res, nil
	}
	for _, a := range accounts {
		d.watch(a.ID)
	}
	return res, nil
}

func readRows(r io.Reader) (rows []importRow, fs []problem.Fault) {
	cr := csv.NewReader(r)
	cr.TrimLeadingSpace = true
	header, err := cr.Read()
	if err != nil {
		return nil, []problem.Fault{{Path: "line 1", Rule: "a header row", Cure: "start the file with: user,password"}}
	}
	for i := range header {
		header[i] = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(header[i], "\ufeff")))
	}
	if fs := headerFaults(header); fs != nil {
		return nil, fs
	}
	for len(fs) < maxImportFaults {
		fields, err := cr.Read()
		if errors.Is(err, io.EOF) {
			return rows, fs
		}
		if err != nil {
			line := 0
			if pe, ok := errors.AsType[*csv.ParseError](err); ok {
				line = pe.StartLine
			}
			fs = append(fs, problem.Fault{Path: fmt.Sprintf("line %d", line), Value: err.Error(), Rule: "as many fields as the header row, quotes closed", Cure: "correct the line"})
			if !errors.Is(err, csv.ErrFieldCount) {
				return rows, fs // what follows an open quote cannot be told apart
			}
			continue
		}
		line, _ := cr.FieldPos(0)
		rows = append(rows, makeRow(line, header, fields))
	}
	return rows, fs
}

func headerFaults(header []string) (fs []problem.Fault) {
	known := []string{"user", "number", "password", "ha1", "name", "email", "phone"}
	for _, h := range header {
		if !slices.Contains(known, h) {
			fs = append(fs, problem.Fault{Path: "line 1", Value: h, Rule: "one of " + strings.Join(known, ", "), Cure: "rename or remove the column"})
		}
	}
	if !slices.Contains(header, "user") && !slices.Contains(header, "number") {
		fs = append(fs, problem.Fault{Path: "line 1", Value: strings.Join(header, ","), Rule: "a column user or number", Cure: "add one"})
	}
	if !slices.Contains(header, "password") && !slices.Contains(header, "ha1") {
		fs = append(fs, problem.Fault{Path: "line 1", Value: strings.Join(header, ","), Rule: "a column password or ha1", Cure: "add one"})
	}
	return fs
}

func makeRow(line int, header, fields []string) importRow {
	row := importRow{line: line, given: header}
	for i, h := range header {
		v := strings.TrimSpace(fields[i])
		switch h {
		case "user":
			row.spec.Name = v
		case "number":
			if v != "" {
				row.spec.Numbers = []string{v}
			}
		case "password":
			row.secret.Password = v
		case "ha1":
			row.secret.HA1 = v
		case "name":
			row.spec.DisplayName = v
		case "email":
			row.spec.Email = v
		case "phone":
			row.spec.Phone = v
		}
	}
	row.spec = normalize(row.spec)
	if row.spec.Name == "" && len(row.spec.Numbers) > 0 {
		row.spec.Name = row.spec.Numbers[0] // a number is a name for who has none
	}
	return row
}

// plan makes the accounts of an import without changing anything yet.
func (d *Directory) plan(rows []importRow) (accounts []*Account, res ctl.ImportResult, fs []problem.Fault) {
	if d.domain == "" {
		return nil, res, []problem.Fault{{Path: "domain", Rule: "set before users are made", Cure: "finish the set-up first"}}
	}
	claimed := map[string]int{} // name or number -> line
	for _, row := range rows {
		here := d.rowFaults(row, claimed)
		for _, f := range here {
			f.Path = fmt.Sprintf("line %d: %s", row.line, f.Path)
			fs = append(fs, f)
		}
		if len(fs) >= maxImportFaults {
			return nil, res, fs
		}
		if len(here) > 0 {
			continue
		}
		a, added := d.merge(row)
		if added {
			res.Added++
		} else {
			res.Changed++
		}
		if weak(row.secret) {
			res.Weak++
		}
		accounts = append(accounts, a)
	}
	if n := len(d.byID) + res.Added; n > maxUsers {
		fs = append(fs, problem.Fault{Path: "file", Value: fmt.Sprint(n, " users"), Rule: fmt.Sprintf("at most %d users on a box", maxUsers), Cure: "remove users that are gone"})
	}
	return accounts, res, fs
}

func (d *Directory) rowFaults(row importRow, claimed map[string]int) []problem.Fault {
	fs := append(faults(row.spec), importedFaults(row.secret)...)
	id := ""
	if old := d.byName[row.spec.Name]; old != nil && old.Name == row.spec.Name {
		id = old.ID
	} else if row.secret == (ctl.Secret{}) {
		fs = append(fs, problem.Fault{Path: "password", Rule: "a password or an ha1 for a new user", Cure: "fill in one of them"})
	}
	fs = append(fs, d.taken(row.spec, id)...)
	for _, name := range append([]string{row.spec.Name}, row.spec.Numbers...) {
		if line, ok := claimed[name]; ok && line != row.line {
			fs = append(fs, problem.Fault{Path: "user", Value: name, Rule: fmt.Sprintf("named once in the file; line %d has it", line), Cure: "remove one of the lines"})
		}
		claimed[name] = row.line
	}
	return fs
}

// merge makes the account of a row: new, or the old one with the file's columns.
func (d *Directory) merge(row importRow) (a *Account, added bool) {
	old := d.byName[row.spec.Name]
	if old == nil {
		a = (&Account{ID: ids.Record(now()), Created: now()}).with(row.spec, now())
		d.setSecret(a, row.secret)
		return a, true
	}
	spec := old.spec()
	for _, column := range row.given {
		switch column {
		case "number":
			if len(row.spec.Numbers) > 0 && !slices.Contains(spec.Numbers, row.spec.Numbers[0]) {
				spec.Numbers = append(spec.Numbers, row.spec.Numbers[0])
			}
		case "name":
			spec.DisplayName = row.spec.DisplayName
		case "email":
			spec.Email = row.spec.Email
		case "phone":
			spec.Phone = row.spec.Phone
		}
	}
	a = old.with(spec, now())
	if row.secret != (ctl.Secret{}) {
		d.setSecret(a, row.secret)
	}
	return a, false
}

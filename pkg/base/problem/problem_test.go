package problem

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestOfHidesACauseThatIsNoProblem(t *testing.T) {
	got := Of(fmt.Errorf("open /secret/path: %w", io.ErrUnexpectedEOF))
	if got.Kind != Internal || strings.Contains(got.Text+got.Cure, "secret") {
		t.Fatalf("public part of %+v tells the cause", got)
	}
	if !errors.Is(got, io.ErrUnexpectedEOF) {
		t.Fatal("the cause is lost to the log")
	}
}

func TestFieldsKeepsEveryFault(t *testing.T) {
	if Fields("x", nil) != nil {
		t.Fatal("no faults must be no error")
	}
	err := Fields("user", []Fault{{Path: "name", Value: "a b", Rule: "no spaces"}, {Path: "email", Value: "x"}})
	if e := Of(fmt.Errorf("add user: %w", err)); e.Kind != Invalid || len(e.Faults) != 2 || e.Text != "2 fields are wrong" {
		t.Fatalf("got %+v", e)
	}
	if !Is(err, Invalid) || Is(err, Denied) || Is(io.EOF, Invalid) {
		t.Fatal("Is mixes kinds")
	}
}

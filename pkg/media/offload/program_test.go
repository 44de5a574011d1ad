package offload

import "testing"

func TestLoads(t *testing.T) {
	m, err := NewMaps()
	if err != nil {
		t.Fatal(err)
	}
	p, err := Load(m)
	if err != nil {
		t.Fatalf("%+v", err)
	}
	_ = p
}

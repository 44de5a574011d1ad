package firewall

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
)

func TestMain(m *testing.M) { boxtest.Main(m, func() error { return goleak.Find() }) }

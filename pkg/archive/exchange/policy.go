package exchange

import (
	"fmt"
	"mime"
	"strconv"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/archive/scan"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/conf"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Bounds of the policy.
const (
	mostMB      = 4096     // a file
	mostQuotaMB = 10 << 20 // all files of a user: 10 TB
	mostDays    = 3650
	mostTypes   = 100
)

// defaults of a box that nobody changed: a long video fits, and who was on leave still gets it.
func defaults() ctl.FilePolicy {
	return ctl.FilePolicy{Enabled: true, MaxMB: 256, QuotaMB: 4096, Days: 30, Types: []string{}}
}

func policySchema() conf.Schema[ctl.FilePolicy] {
	return conf.Schema[ctl.FilePolicy]{Default: defaults, Validate: validate}
}

// validate names all that is wrong with a policy.
func validate(p ctl.FilePolicy) (faults []problem.Fault) {
	between := func(path string, n, least, most int) {
		if n < least || n > most {
			faults = append(faults, problem.Fault{
				Path: path, Value: strconv.Itoa(n), Rule: fmt.Sprintf("between %d and %d", least, most), Cure: "choose a number between them",
			})
		}
	}
	between("max_mb", p.MaxMB, 1, mostMB)
	between("quota_mb", p.QuotaMB, max(1, p.MaxMB), mostQuotaMB)
	between("days", p.Days, 1, mostDays)
	between("types", len(p.Types), 0, mostTypes)
	for i, pattern := range p.Types {
		if !validPattern(pattern) {
			faults = append(faults, problem.Fault{
				Path: fmt.Sprintf("types[%d]", i), Value: pattern, Rule: "a content type in lower case", Cure: "for instance application/pdf, or image/* for all images",
			})
		}
	}
	if p.ScanURL != "" {
		if _, err := scan.ParseICAP(p.ScanURL); err != nil {
			faults = append(faults, problem.Fault{Path: "scan_url", Value: p.ScanURL, Rule: "the address of an ICAP service", Cure: "for instance icap://192.0.2.9:1344/avscan"})
		}
	}
	if p.Host != "" && !validHost(p.Host) {
		faults = append(faults, problem.Fault{Path: "host", Value: p.Host, Rule: "a host name or an address, with a port or without", Cure: "for instance pbx.example.com:8443"})
	}
	return faults
}

func validPattern(p string) bool {
	kind, params, err := mime.ParseMediaType(strings.Replace(p, "/*", "/any", 1))
	return err == nil && len(params) == 0 && strings.Contains(kind, "/") && p == strings.ToLower(p) && len(p) <= maxType
}

const day = 24 * time.Hour

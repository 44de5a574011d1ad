module github.com/coraltele/sanchar

go 1.26.0

require (
	github.com/pion/rtcp v1.2.20
	github.com/pion/rtp v1.10.6
	go.etcd.io/bbolt v1.5.0
	go.uber.org/goleak v1.3.0
	golang.org/x/sys v0.49.0
)

require github.com/pion/randutil v0.1.0 // indirect

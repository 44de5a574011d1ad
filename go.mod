module github.com/coraltele/sanchar

go 1.26.0

require (
	go.etcd.io/bbolt v1.5.0
	go.uber.org/goleak v1.3.0
	golang.org/x/sys v0.49.0
)

require (
	github.com/danielgtaylor/huma/v2 v2.37.2 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	pgregory.net/rapid v1.3.0 // indirect
	rsc.io/qr v0.2.0 // indirect
)

# Sanchar. `make help` lists what there is to make.

GO      ?= go
BIN     := build/bin
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
PROGRAMS := switchd mediad admind netd sanchar
UI      := pkg/console/web/ui
SOUNDS  := build/share/sounds
DIST    := pkg/console/web/dist

# Tools at fixed versions, outside go.mod: their dependencies are not the product's.
GOFUMPT     := $(GO) run mvdan.cc/gofumpt@v0.12.0
STATICCHECK := $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Debian packages of the peers that tests and benchmarks talk to.
PEERS := linphone-cli baresip-core baresip-ffmpeg sip-tester kamailio rtpengine-daemon tshark sox espeak-ng ffmpeg chromium iproute2 nftables openssl sqlite3 udhcpc user-mode-linux coturn

# Debian packages that build an image, and start it.
IMAGE_PEERS := squashfs-tools mtools dosfstools e2fsprogs kmod qemu-system-x86 qemu-system-arm ovmf qemu-efi-aarch64 gdisk device-tree-compiler swtpm

# Kind of box and version of an image; a release says both, and its version has three numbers.
BOARD         ?= x86
IMAGE_VERSION ?= 0.0.0-dev
IMAGE_OUT     ?= build/image

FUZZTIME ?= 20s

.PHONY: help run test build prompts ui lint fmt unit race e2e image image-test fuzz bench check clean deps image-deps

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## build and start the box on this machine, on high ports, data in ./var
	@exec $(BIN)/sanchar dev --data ./var

build: ui prompts ## all programs, in build/bin, and what parties hear, in build/share
	@mkdir -p $(BIN)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ $(addprefix ./appliance/,$(PROGRAMS))

prompts: $(SOUNDS)/music/default.g722 ## spoken texts and hold music (espeak-ng, sox)

$(SOUNDS)/music/default.g722: $(wildcard appliance/sounds/*)
	@if command -v espeak-ng >/dev/null && command -v sox >/dev/null; then $(GO) run ./appliance/sounds -out $(SOUNDS); \
	else echo "no espeak-ng or sox: the box will have tones only (make deps)"; fi

ui: $(DIST)/index.html ## the page, into the folder that admind embeds

# The page's types come from the API's own description, so the API is a source of the page.
$(DIST)/index.html: $(shell find $(UI) -type f -not -path '*/node_modules/*' -not -name '*.gen.ts' 2>/dev/null) $(wildcard pkg/console/api/*.go)
	cd $(UI) && npm ci --no-audit --no-fund && npm run build
	@touch $@

lint: ## formatting, vet for all boards, staticcheck, the house rules
	@out=$$($(GOFUMPT) -l appliance board image pkg); if [ -n "$$out" ]; then echo "not gofumpt'd:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	GOARCH=arm64 $(GO) vet ./pkg/... ./appliance/...
	GOARCH=arm $(GO) vet ./pkg/... ./appliance/...
	$(STATICCHECK) ./...
	$(GO) test ./pkg/layers

fmt: ## format all Go files
	$(GOFUMPT) -w appliance board image pkg

unit: ui ## tests beside the code
	$(GO) test -timeout 15m $$($(GO) list ./... | grep -v /appliance/e2e)

race: ui ## the same under the race detector
	$(GO) test -race -timeout 30m $$($(GO) list ./... | grep -v /appliance/e2e)

image: ui prompts image-deps ## image, signed update and installer of a kind of box: make image BOARD=qemu IMAGE_VERSION=1.4.2
	$(GO) run ./image/build -board $(BOARD) -version $(IMAGE_VERSION) -out $(IMAGE_OUT)

image-test: ui prompts image-deps ## the images in QEMU: versions that come and go, power cuts, ARM; takes an hour or two
	SANCHAR_IMAGE=long $(GO) test -timeout 240m -count 1 -p 1 -v ./appliance/e2e/image

e2e: deps image-deps build ## the box against real phones, load and a browser
	$(GO) test -timeout 30m -count 1 -p 1 ./appliance/e2e/...

test: deps build lint unit e2e ## everything that must pass

check: lint unit race ## before a commit

fuzz: ## every fuzz target for FUZZTIME each
	@set -e; for pkg in $$($(GO) list ./pkg/...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; done

bench: deps build ## cost beside Kamailio and rtpengine; the table goes to appliance/bench/RESULTS.md
	$(GO) run ./appliance/bench -write appliance/bench/RESULTS.md

clean: ## remove what was built and the data of make run
	rm -rf build var $(UI)/node_modules
	find $(DIST) -mindepth 1 -not -name placeholder.html -delete

image-deps: ## install what images are built and started with, if it is missing
	@$(MAKE) --no-print-directory deps PEERS='$(IMAGE_PEERS)'

deps: ## install the peers that tests need, if they are missing
	@missing=$$(for p in $(PEERS); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
	  sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	  $$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y --no-install-recommends $$missing; \
	fi

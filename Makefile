# Every verb, with one line about it: make help.
SHELL   := /bin/bash
GO      ?= go
TOOL    := $(GO) tool -modfile=tools/go.mod
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X github.com/novaura/acs-operator/internal/version.version=$(VERSION)

.DEFAULT_GOAL := help
.PHONY: help run build test contract conformance check vet lint chaos chaos-short incidents incidents-short fuzz bench vuln clean images images-check sbom terraform-check iam-proof controller-only-check

help: ## Show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## The whole system on this machine, from built binaries
	bin/local

build: ## The three binaries, static, in bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./controller ./worker ./local

test: ## All tests but the contract, with the race detector
	$(GO) test -race -timeout 10m $$($(GO) list ./... | grep -v /sandbox/conformance)

contract: ## The stand-ins and the shipped programs against moto; prints the counts
	$(GO) test -count=1 -timeout 10m -v ./internal/sandbox/conformance/...

conformance: ## The contract, and fauxqs too (installed from npm)
	CONFORMANCE_FAUXQS=1 $(GO) test -count=1 -timeout 15m -v ./internal/sandbox/conformance/...

check: build vet lint test contract chaos-short incidents-short ## What must pass before a change lands

vet: ## go vet
	$(GO) vet ./...

lint: ## golangci-lint, pinned in tools/go.mod
	$(TOOL) golangci-lint run ./...

chaos: ## 100,000 messages, 500 killed workers, PostgreSQL restarts, faults: none lost, none doubled
	$(GO) run ./chaos --messages 100000 --kills 500 --for 20m --patience 25m --restarts 20 --cuts 60 --workers 4

chaos-short: ## A short chaos, half a minute
	$(GO) run ./chaos

incidents: ## What an engineer on call sees of each incident, half an hour
	$(GO) run ./incidents

incidents-short: ## The short selection of incidents, two to three minutes
	$(GO) run ./incidents --short

fuzz: ## Each fuzz target for half a minute
	@for package in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$package | grep ^Fuzz); do \
	    $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime 30s $$package || exit 1; \
	  done; \
	done

bench: ## The worker beside its peer (npm's sqs-consumer), a bare lifecycle and a bare receive loop
	$(GO) run ./bench
	$(GO) run ./bench -only worker -latency 150ms -rounds 1 -messages 60000

vuln: ## Known vulnerabilities in what is used (asks the vulnerability database)
	$(TOOL) govulncheck ./...

# BUILDER is what has buildx; buildah takes the same files (images-check).
BUILDER   ?= docker
REGISTRY  ?= localhost
PLATFORMS ?= linux/amd64,linux/arm64
NAME      ?= novaura-acs
PROGRAMS  ?= worker controller
COMMIT     = $(shell git rev-parse HEAD)

images: ## Both images for both architectures; REGISTRY=… NAME=… PUSH=--push sends them
	for program in $(PROGRAMS); do \
	  case $$program in worker) image=$(NAME)-processor;; *) image=$(NAME)-controller;; esac; \
	  SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BUILDER) buildx build --platform $(PLATFORMS) $(PUSH) --provenance=false \
	    --build-arg SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) \
	    --tag $(REGISTRY)/$$image:$(VERSION) --file Dockerfile.$$program . || exit 1; \
	done

images-check: ## Build both images twice without an engine, and look inside (root, buildah)
	$(GO) run ./internal/check/images

sbom: build ## What the two programs are made of, as CycloneDX in sbom/
	@mkdir -p sbom
	for program in worker controller; do \
	  $(GO) run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0 bin -json -version $(VERSION) -output sbom/$$program.cdx.json bin/$$program || exit 1; \
	done

terraform-check: ## Apply terraform/ to a stand-in, run against it, upgrade, destroy (terraform, moto)
	$(GO) run ./internal/check/terraform

controller-only-check: ## Follow docs/controller-only.md with its own consumer (python3 with boto3)
	$(GO) run ./internal/check/alone

iam-proof: ## Hold the planned policies against the calls that are really made (terraform, moto)
	$(GO) run ./internal/check/iamproof

clean: ## Remove what was built, and the local system's data
	rm -rf bin .local sbom

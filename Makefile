# flumed: `make` builds, `make quickstart` runs a first agent, `make test` tests.
CARGO ?= cargo
PREFIX ?= /usr/local
DESTDIR ?=

.PHONY: all quickstart check test bench clean

all:
	$(CARGO) build --release

quickstart: all
	mkdir -p flumed-quickstart
	target/release/flumed agent -n a1 -f etc/quickstart.conf

check: test
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings

test:
	$(CARGO) test

bench:
	scripts/bench

clean:
	$(CARGO) clean

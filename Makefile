# flumed: `make` builds, `make quickstart` runs a first agent, `make test` tests, `make install` installs.
# all, quickstart and test need only a Rust toolchain.
CARGO ?= cargo
PREFIX ?= /usr/local
DESTDIR ?=
TARGET := $(or $(CARGO_TARGET_DIR),target)

.PHONY: all quickstart check layers test fuzz interop crash bench deps install clean

all:
	$(CARGO) build --release

quickstart: all
	mkdir -p flumed-quickstart
	$(TARGET)/release/flumed agent -n a1 -f etc/quickstart.conf

# What every commit passes.
check: layers
	@$(CARGO) fmt --version >/dev/null 2>&1 && $(CARGO) clippy --version >/dev/null 2>&1 || { \
	  echo "make check needs rustfmt and clippy: rustup component add rustfmt clippy," \
	    "or (Debian) apt-get install rustfmt-web rust-web-clippy"; exit 1; }
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps
	$(MAKE) test

# Who may import whom.
layers:
	scripts/check-layers --self-test
	scripts/check-layers

# The workspace: flumed, and the example of components of one's own.
test:
	$(CARGO) test --workspace

# Every decoder, each for FUZZ_SECONDS, in two processes; `make test` runs each for a moment.
FUZZ_SECONDS ?= 60
FUZZ_SEED ?= 1
FUZZ = $(CARGO) test --profile fuzz --test fuzz --
fuzz:
	$(CARGO) test --profile fuzz --test fuzz --no-run
	$(FUZZ) --share 0/2 --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED) & first=$$!; \
	  $(FUZZ) --share 1/2 --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED); second=$$?; \
	  wait $$first && exit $$second

# Against util-linux logger, rsyslog, syslog-ng and Python, beside and between real Apache Flume, with other Avro, Thrift and
# HTTP peers, and over TLS; as root, installs what is missing.
interop:
	scripts/interop

# The file channel against kills, a full disk, a large backlog and power cuts, tiers of agents against kills and outages;
# as root, all of it.
crash:
	scripts/crash-soak

bench:
	scripts/bench

# The dependency tree, judged.
deps:
	scripts/check-deps

# Binary, Flume's command line for it, service files for every init system (for the packager or operator to put in place), example.
DOC = $(DESTDIR)$(PREFIX)/share/flumed
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DOC)/init $(DOC)/examples
	install -m 755 $(TARGET)/release/flumed $(DESTDIR)$(PREFIX)/bin/flumed
	install -m 755 scripts/flume-ng $(DESTDIR)$(PREFIX)/bin/flume-ng
	for f in systemd/flumed.service sysv/flumed openrc/flumed; do \
	  install -d $(DOC)/init/$${f%/*} && \
	  sed 's|/usr/local|$(PREFIX)|g' etc/init/$$f > $(DOC)/init/$$f || exit 1; done
	chmod 755 $(DOC)/init/sysv/flumed $(DOC)/init/openrc/flumed
	install -m 644 etc/quickstart.conf etc/examples/*.conf $(DOC)/examples

clean:
	$(CARGO) clean

# The ways in. Every target that needs servers gets them from scripts/servers, or uses those that
# STREAM_BRIDGE_TEST_MYSQL and STREAM_BRIDGE_TEST_CLICKHOUSE name.

.PHONY: help demo test check bench bench-full servers down clean

help:
	@echo 'make demo      start servers, build, watch rows go from MySQL to ClickHouse'
	@echo 'make test      every test, against real servers'
	@echo 'make check     formatting, lints and the tests that need no servers'
	@echo 'make bench     measure a part of everything (a quarter of an hour on two cores; one thing alone: see bench/README.md)'
	@echo 'make bench-full  measure everything (an hour)'
	@echo 'make servers   start one MySQL and one ClickHouse, print how to reach them'
	@echo 'make down      stop them'
	@echo 'make clean     stop them, delete them and everything built'

demo:
	cargo build --release
	scripts/servers exec cargo run --release --example demo

test:
	scripts/servers exec cargo test --no-fail-fast

check:
	cargo fmt --check
	cargo fmt --check --manifest-path bench/peers/Cargo.toml
	cargo clippy --all-targets -- -D warnings
	cargo check --bins # without the features that dev-dependencies add
	STREAM_BRIDGE_MUTATION_INPUTS=20000 cargo test --test mutation --lib --bins --test tidy --test readme --test config --test router

bench:
	bench/run quick

bench-full:
	bench/run full

servers:
	@scripts/servers up

down:
	scripts/servers down

clean:
	scripts/servers uninstall
	cargo clean

# SPDX-License-Identifier: GPL-3.0-or-later
# Everything a person does in a checkout. `make` alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/.cache/venv/bin:$(PATH)
# Output as it happens, also through a pipe.
export PYTHONUNBUFFERED := 1

PLAY := ansible-playbook
CLOUD := inventory/cloudstack

.PHONY: help test-tools up status ssh down cloud-up cloud-down test lint unit embedded-test sanity molecule bench tools packages build

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile
	@echo "CLUSTER=name after any of them names another set of machines (default: aurora)."

up: tools packages ## From nothing to six machines with a running job
	$(PLAY) playbooks/preflight.yml --skip-tags preflight_machines
	$(PLAY) playbooks/provision.yml site.yml playbooks/hello_world.yml playbooks/status.yml

status: tools ## Machines, their state and the three interfaces' URLs
	@$(PLAY) playbooks/status.yml

ssh: tools ## A shell on one machine: make ssh HOST=devtools
	@tools/ssh.sh "$(HOST)"

down: tools ## Remove the machines and all else that `make up` made, except the download cache
	$(PLAY) playbooks/destroy.yml

cloud-up: tools packages ## The same on a CloudStack cloud, as inventory/cloudstack says
	$(PLAY) -i $(CLOUD) playbooks/provision.yml
	$(PLAY) -i $(CLOUD) site.yml
	$(PLAY) -i $(CLOUD) playbooks/hello_world.yml
	$(PLAY) -i $(CLOUD) playbooks/status.yml

cloud-down: tools ## Destroy the machines in the cloud: make cloud-down CONFIRM=aurora
	$(PLAY) -i $(CLOUD) playbooks/destroy.yml -e instances_cloudstack_confirm=$(CONFIRM)

test: test-tools ## All tests, the cheap ones first
	tools/stages.sh lint unit embedded-test sanity molecule

lint: test-tools ## ansible-lint, yamllint, ruff, shellcheck
	tools/lint.sh

unit: test-tools ## Unit tests of the plugins, the roles and the tree
	pytest tests/unit

embedded-test: test-tools packages ## Tests of the embedded packages
	@for tests in embedded/*/tests; do echo "== $$tests"; pytest "$$tests"; done

sanity: test-tools ## ansible-test sanity
	tools/sanity.sh

molecule: test-tools packages ## All molecule scenarios, one after another
	tools/molecule.sh

bench: tools ## Measurements under tests/bench
	pytest -s tests/bench
	@for bench in $(filter-out tests/bench/test_%,$(wildcard tests/bench/*.py)); do echo "== $$bench"; python "$$bench"; done

tools: ## What the other targets need: Debian packages, .cache/venv, the collection's link
	@tools/setup.sh

test-tools: ## What the tests need besides
	@tools/setup.sh test

packages: tools ## The embedded Debian packages, into .cache/packages
	@for build in embedded/*/build.py; do echo "== $$build"; python3 "$$build" .cache/packages; done

build: tools ## The collection's archive, into .cache
	ansible-galaxy collection build --force --output-path .cache

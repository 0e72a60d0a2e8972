# The few commands a person types. Everything they need beyond Python 3.11 they install into .venv and .local.
PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help

.PHONY: help venv up down status demo demo-lifecycle test check format bench openapi

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

venv: .venv/installed.txt

.venv/installed.txt: requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("Duebridge needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; name another with: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else None'
	@echo "installing what builds, checks and tests into .venv"
	@$(PYTHON) -m venv .venv || { echo "python3 cannot make virtual environments here; on Debian: apt-get install python3-venv"; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@cat $^ > $@

up: venv ## the local stack at http://localhost:8000: AWS, Stripe, deployment, front door
	@$(BIN)/python -m infra.local.stack up

down: venv ## ends what `make up` began
	@$(BIN)/python -m infra.local.stack down

status: venv ## what of the local stack runs
	@$(BIN)/python -m infra.local.stack status

demo: up ## from sign-up to webhooks, on six months of real delinquency data
	@$(BIN)/python -m infra.demo

demo-lifecycle: up ## one institution's whole life: trial, payment, arrears, recovery, export, erasure
	@$(BIN)/python -m infra.demo.lifecycle

test: venv ## every test; starts and ends what it needs
	@$(BIN)/python -m pytest

check: venv ## format, lint, types, import rules, templates, generated documents
	@$(BIN)/python -m infra.check

format: venv ## formats the code
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

openapi: venv ## writes what under docs/ the code declares anew
	@$(BIN)/python -m infra.check --write-documents

bench: venv ## measures the budgets, as ratios within one run (needs Java and npm)
	@$(BIN)/python -m infra.bench $(if $(QUICK),--quick)

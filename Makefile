# make alone lists the commands. PYTHON, VENV, PORT, PAGE_PORT and args may be set: make run args=--reload

PYTHON ?= python3
VENV ?= .venv
PORT ?= 8000
PAGE_PORT ?= 3000
# By "python -m", since the scripts of a virtual environment break in folders with very long names.
py = "$(VENV)/bin/python"

.PHONY: help run demo test check format token migration sql openapi e2e faults bench lock clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

run: $(VENV)/installed ## start the service on localhost:8000 (PORT=…)
	@echo "API  http://localhost:$(PORT)/api/{user_id}/tasks   (a token: make token user=alice)"
	@echo "Docs http://localhost:$(PORT)/docs"
	@exec $(py) serve.py --port $(PORT) $(args)

demo: $(VENV)/installed examples/frontend/node_modules/.package-lock.json ## start the service with the example frontend (Node 20)
	@exec $(py) -m examples.demo dev $(PORT) $(PAGE_PORT)

test: $(VENV)/installed ## run the tests (on a server of yours: DATABASE=postgresql://…, whose role may create databases)
	$(py) -m pytest $(if $(DATABASE),--database '$(DATABASE)') $(args)

check: $(VENV)/installed ## look at format, lint and types, and at what deploys
	$(py) -m ruff format --check .
	$(py) -m ruff check .
	$(py) -m mypy
	"$(VENV)/bin/hadolint" Dockerfile
	$(py) -m check_jsonschema --builtin-schema vendor.compose-spec compose.yaml

format: $(VENV)/installed ## format the code, and mend what lint can
	$(py) -m ruff format .
	$(py) -m ruff check --fix .

token: $(VENV)/installed ## print a token for a day: make -s token user=alice
	@$(py) dev.py token "$(user)"

migration: $(VENV)/installed ## write the migration for a changed model: m="add priority"
	@$(py) dev.py migration "$(m)"
	@$(py) -m ruff format migrations

sql: $(VENV)/installed ## write queries.sql, every statement as PostgreSQL gets it
	@$(py) dev.py sql

openapi: $(VENV)/installed ## write openapi.json, the document of the API
	@$(py) dev.py openapi

e2e_modules = $(patsubst %package.json,%node_modules/.package-lock.json,$(wildcard e2e/*/package.json examples/*/package.json))
e2e: $(VENV)/installed $(e2e_modules) ## test with a real Better Auth, clients and a browser (Node 20)
	@command -v chromium > /dev/null || { apt-get update && apt-get install -y chromium; }
	$(py) -m pytest e2e -n 0 $(args)

%/node_modules/.package-lock.json: %/package-lock.json
	npm ci --prefix $*

faults: $(VENV)/installed ## break everything that can break, and measure (4 minutes, as root; args="-m quick": 1)
	@PATH="$$PATH:/usr/sbin" command -v pgbouncer > /dev/null || { apt-get update && apt-get install -y pgbouncer; } \
		|| echo "There is no pgbouncer here: its rows will fail." >&2
	$(py) -m pytest faults -n 0 $(args)

bench: $(VENV)/installed bench/node_modules/.package-lock.json bench/.venv/installed ## measure the service beside others (about 15 minutes)
	@command -v wrk > /dev/null || { apt-get update && apt-get install -y wrk; }
	$(py) bench/run.py $(args)

bench/.venv/installed: bench/requirements.txt
	$(PYTHON) -m venv bench/.venv
	bench/.venv/bin/python -m pip install --quiet --disable-pip-version-check -r bench/requirements.txt
	@touch $@

lock: $(VENV)/installed ## pin the newest versions of all dependencies
	$(py) -m uv pip compile --upgrade $(lock) requirements.in -o requirements.txt
	$(py) -m uv pip compile --upgrade $(lock) requirements-dev.in -o requirements-dev.txt
lock = --quiet --universal --generate-hashes --python-version 3.11 --no-emit-index-url --custom-compile-command "make lock"

clean: ## remove the embedded database, the virtual environment and caches
	@$(needs_python)
	@$(PYTHON) -B -m embedded.clean .data
	@rm -rf .venv .venv-* .mypy_cache .pytest_cache .ruff_cache .hypothesis .faults examples/frontend/.next
	@find . -name node_modules -prune -o -type d -name __pycache__ -prune -exec rm -rf {} +

# All to standard error, since standard output may be somebody's TOKEN=$(make -s token user=alice).
$(VENV)/installed: requirements.txt requirements-dev.txt
	@$(needs_python)
	@echo "Installing into $(VENV) …" >&2
	@$(PYTHON) -m venv "$(VENV)" >&2
	@$(py) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt >&2
	@touch "$@"
needs_python = $(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=…" if sys.version_info < (3, 11) else 0)'

# make run, make test: that is all it takes. PYTHON, VENV, PORT and args may be set: make run args=--reload

PYTHON ?= python3
VENV ?= .venv
PORT ?= 8000
# By "python -m", since the scripts of a virtual environment break in folders with very long names.
py = "$(VENV)/bin/python"

.PHONY: run test check e2e bench format token migration lock

run: $(VENV)/installed
	@echo "API  http://localhost:$(PORT)/api/{user_id}/tasks   (a token: make token user=alice)"
	@echo "Docs http://localhost:$(PORT)/docs"
	@exec $(py) -m uvicorn main:app --port $(PORT) --timeout-graceful-shutdown 10 $(args)

test: $(VENV)/installed
	$(py) -m pytest $(args)

check: $(VENV)/installed
	$(py) -m ruff format --check .
	$(py) -m ruff check .
	$(py) -m mypy

e2e: $(VENV)/installed e2e/better-auth/node_modules/.package-lock.json
	$(py) -m pytest e2e -n 0 $(args)

e2e/better-auth/node_modules/.package-lock.json: e2e/better-auth/package-lock.json
	npm ci --prefix e2e/better-auth

bench: $(VENV)/installed bench/node_modules/.package-lock.json bench/.venv/installed
	@command -v wrk > /dev/null || { apt-get update && apt-get install -y wrk; }
	$(py) bench/run.py $(args)

bench/node_modules/.package-lock.json: bench/package-lock.json
	npm ci --prefix bench

bench/.venv/installed: bench/requirements.txt
	$(PYTHON) -m venv bench/.venv
	bench/.venv/bin/python -m pip install --quiet --disable-pip-version-check -r bench/requirements.txt
	@touch $@

format: $(VENV)/installed
	$(py) -m ruff format .
	$(py) -m ruff check --fix .

token: $(VENV)/installed
	@$(py) dev.py token "$(user)"

migration: $(VENV)/installed
	@$(py) dev.py migration "$(m)"
	@$(py) -m ruff format migrations

lock: $(VENV)/installed
	$(py) -m uv pip compile --upgrade $(lock) requirements.in -o requirements.txt
	$(py) -m uv pip compile --upgrade $(lock) requirements-dev.in -o requirements-dev.txt
lock = --quiet --universal --python-version 3.11 --no-emit-index-url --custom-compile-command "make lock"

$(VENV)/installed: requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=…" if sys.version_info < (3, 11) else 0)'
	@echo "Installing into $(VENV) …"
	@$(PYTHON) -m venv "$(VENV)"
	@$(py) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch "$@"

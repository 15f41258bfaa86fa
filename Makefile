# What a person types. The work is done by .ci/host (Debian packages), .ci/venv (Python packages) and manage.py.
# One more than most machines of CI have cores: tests of processes, browsers and clocks often wait
WORKERS ?= 3
PYTHON := .venv/bin/python
NEW_SECRET := import secrets; print(secrets.token_urlsafe(50))
NEW_KEY := from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())

# What is compiled is kept: with this set, each of hundreds of processes would compile everything once more
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test check bench lock

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# What the shell or .env says about PORTAL_MODE wins, so that the demo is never filled into a production portal.
run: ## Start the portal with its demo; Ctrl-C ends it
	@.ci/host run
	@.ci/venv requirements.txt
	@[ -n "$$PORTAL_MODE" ] || grep -qsE '^(export )?PORTAL_MODE=' "$${PORTAL_ENV_FILE:-.env}" || export PORTAL_MODE=demo; \
	$(PYTHON) manage.py demo && exec $(PYTHON) manage.py run

test: ## Run the whole suite: SQLite with a real browser and real processes, then PostgreSQL
	@.ci/host test
	@.ci/venv requirements-dev.txt
	@echo "Tests on SQLite, journeys in a real browser included:"
	@env -u DATABASE_URL $(PYTHON) -m pytest -q -n $(WORKERS)
	@echo "Tests with a database on PostgreSQL, the journeys of the second factor included:"
	@$(PYTHON) -m tests.postgres $(PYTHON) -m pytest -q -n $(WORKERS)
	@echo "All tests passed, on SQLite and on PostgreSQL."

check: ## Lint, types, migrations, production settings
	@.ci/host check
	@.ci/venv requirements-dev.txt
	@.venv/bin/ruff check -q .
	@.venv/bin/ruff format -q --check .
	@.venv/bin/mypy --no-error-summary
	@DJANGO_SETTINGS_MODULE=tests.settings $(PYTHON) manage.py makemigrations --check --dry-run -v 0
	@PORTAL_ENV_FILE=docs/production.env PORTAL_MODE=production SECRET_KEY=$$($(PYTHON) -c '$(NEW_SECRET)') \
		ENCRYPTION_KEYS=$$($(PYTHON) -c '$(NEW_KEY)') $(PYTHON) manage.py check --deploy --fail-level WARNING >/dev/null
	@echo "Lint, types, migrations and production settings are in order."

bench: ## Measure the portal against bare Django and a bare process
	@.ci/host test
	@.ci/venv requirements-dev.txt
	@$(PYTHON) -m tests.bench

lock: ## Resolve pyproject.toml into requirements.txt and requirements-dev.txt again
	@.ci/lock

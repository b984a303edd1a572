# The two commands that a newcomer needs are `make demo` and `make test`; both do all their own set-up.

.PHONY: help demo test check unit coverage record setup setup-test clean

help:                 ## what can be made
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: setup           ## three schools, one collector, alerts at a CERT; ARGS=--exit ends by itself, ARGS="--pcap FILE" adds yours
	@.venv/bin/schoolwacht demo --captures tests/captures $(ARGS)

test: check unit      ## all set-up (Suricata, tshark, Chromium, Elasticsearch), then every check and test

check: setup-test     ## linters, types, import contracts
	.venv/bin/ruff check .
	.venv/bin/ruff format --check --quiet .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-cache >/tmp/schoolwacht-imports.$$$$ 2>&1 || { cat /tmp/schoolwacht-imports.$$$$; rm -f /tmp/schoolwacht-imports.$$$$; exit 1; }; rm -f /tmp/schoolwacht-imports.$$$$

unit: setup-test      ## the tests alone; ARGS goes to pytest
	.venv/bin/python -m pytest $(ARGS)

coverage: setup-test  ## the tests with branch coverage, then the 20 files that have least; ARGS goes to pytest
	@.venv/bin/coverage erase
	@status=0; .venv/bin/coverage run -m pytest $(ARGS) || status=$$?; \
	.venv/bin/coverage combine --quiet; \
	.venv/bin/coverage report --sort=cover | sed -n '1,22p;/^TOTAL/p'; exit $$status

record: setup-test    ## record tests/captures again from real programs (root)
	deploy/dev/system-packages.sh record
	.venv/bin/python tests/captures/record.py $(ARGS)

setup:                ## the environment .venv with the three commands
	@deploy/dev/python.sh run

setup-test:
	@deploy/dev/system-packages.sh test
	@deploy/dev/python.sh dev
	@deploy/dev/elasticsearch.sh install .dev/elasticsearch || echo "elasticsearch: not installed; the tests that need it are skipped, each with its reason" >&2

clean:                ## remove what set-up and tests made (not the system packages)
	rm -rf .venv .dev .coverage* htmlcov .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

# Each target is one line; the work is in scripts/, which run without make too.
.PHONY: help setup demo test test-train test-all models check format clean

help:
	@grep -E '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 12

setup: ## make .venv with the base dependencies and this package
	@sh scripts/setup.sh

demo: ## describe the pedestrians of the bundled picture; results in output/
	@sh scripts/demo.sh

test: ## run the tests (about five minutes on two cores; slow ones left out)
	@sh scripts/test.sh

test-train: ## run the tests of training, with torch, in .venv-train
	@sh scripts/test_train.sh

test-all: ## run all tests, slow ones too
	@sh scripts/test.sh -m "slow or not slow"

models: ## train the shipped models again (about a day on 2 cores; docs/training-log.md says with what)
	@sh scripts/make_models.sh

check: ## formatting, lint, types: what CI demands
	@sh scripts/check.sh

format: ## put the source into the house format
	@sh scripts/setup.sh check && .venv/bin/ruff format . && .venv/bin/ruff check --fix .

clean: ## remove what these targets made
	rm -rf .venv .venv-lowest .venv-train .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist output

# The companion's commands. `make` or `make help` lists them.
#
# Everything is installed into .venv, with no need to activate it. What was installed is noted
# in .venv/installed-*, keyed to pyproject.toml, so that set-up is repeated only when needed.

# pip leaves compiling to the first use (--no-compile). Where that is forbidden, as in containers,
# every process would compile Sphinx, pandas and PyTorch again.
unexport PYTHONDONTWRITEBYTECODE

# What `make book` installs beside the core. `make book EXTRAS=` leaves PyTorch out: enough to
# build the book from recorded evidence.
EXTRAS ?= extract
# A Python to make .venv with, instead of the first good one on PATH.
PYTHON ?=
PORT ?= 8000
# Who can open what `make serve` shows: this computer; with HOST=0.0.0.0 all in its network.
HOST ?= 127.0.0.1
PYTEST_ARGS ?=
# What `make check` compares with, instead of main: a branch or a commit.
BASE ?=

BUILD = book/_build
INDEX = $(BUILD)/html/index.html
IN_VENV = PATH="$(CURDIR)/.venv/bin:$$PATH"

define set_up
set -eu
say() { printf '%s\n' "$$1" >&2; exit 1; }
good() { "$$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

if ! good .venv/bin/python || ! .venv/bin/python -c 'import pip' >/dev/null 2>&1; then
    python=
    for candidate in "$${PYTHON:-python3}" python3.13 python3.12 python3.11; do
        if good "$$candidate"; then python=$$candidate; fi
        if [ -n "$$python$$PYTHON" ]; then break; fi # a Python that was named is the only one tried
    done
    [ -n "$$python" ] || say "No Python 3.11 or newer was found (tried: $${PYTHON:-python3, python3.13, python3.12, python3.11}): install one, or name it with 'make PYTHON=/path/to/python3.12'."
    "$$python" -c 'import ensurepip, venv' >/dev/null 2>&1 || say "$$python cannot make virtual environments, its modules venv or ensurepip are missing: install them (on Debian or Ubuntu: apt install python3-venv), or name another Python with 'make PYTHON=...'."
    echo "Making .venv with $$("$$python" --version)"
    "$$python" -m venv --clear .venv
fi

key="$$(cksum < pyproject.toml) $$(pwd -P)"
missing=
for extra in core $$(echo "$$1" | tr ',' ' '); do
    [ "$$(cat ".venv/installed-$$extra" 2>/dev/null)" = "$$key" ] || missing=yes
done
if [ -n "$$missing" ]; then
    echo "Installing the companion$${1:+ with: $$1} (once, in one to ten minutes; PyTorch is large)"
    rm -f .venv/installed-*
    .venv/bin/python -m pip install --no-compile --progress-bar on --disable-pip-version-check --editable ".$${1:+[$$1]}" || say "Installing failed, see pip's message above; nothing else was changed, and the same command tries again."
    for extra in core $$(echo "$$1" | tr ',' ' '); do printf '%s\n' "$$key" > ".venv/installed-$$extra"; done
fi
endef
export set_up PYTHON

.DEFAULT_GOAL := help
.PHONY: help venv book serve pdf lite lab sphinx runs pocket check test test-slow test-slurm lint words snapshot sizes release clean

help: ## List the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name what; do \
		printf '  make %-10s %s\n' "$$name" "$$what"; done

venv: ## Set up .venv for building the book (EXTRAS= for no PyTorch)
	@sh -c "$$set_up" set_up "$(EXTRAS)"

book: ## Set up what is missing, bring all runs up to date, build the book
	@sh -c "$$set_up" set_up "$(EXTRAS)"
	@$(IN_VENV) jupyter-book build book/
	@printf 'The book is at %s\n' "$(CURDIR)/$(INDEX)"

serve: ## Show the built book here (PORT=8000), or to a room: HOST=0.0.0.0
	@test -f $(INDEX) || { echo "There is no built book yet: run 'make book' first." >&2; exit 1; }
	@.venv/bin/python -m companion.engine.serve $(BUILD)/html --host $(HOST) --port $(PORT)

pdf: ## Print the whole book to one PDF (needs Chromium)
	@sh -c "$$set_up" set_up "$(EXTRAS)"
	@$(IN_VENV) python -m companion.engine.pdf

lite: ## Let exercises and notebooks run in the book's pages (27 MB, once)
	@sh -c "$$set_up" set_up "$(EXTRAS)"
	@$(IN_VENV) python -m companion.engine.lite
	@$(IN_VENV) jupyter-book build book/
	@echo "'make serve' shows it: in a page that is opened as a file, nothing runs."

lab: ## Open the teaching notebooks in JupyterLab, in a folder lab/ of your own
	@sh -c "$$set_up" set_up teach
	@$(IN_VENV) python -m companion.engine.course lab
	@$(IN_VENV) jupyter lab lab

# conf.py is what Jupyter Book makes of its settings; without its extension, and with the runs made
# before, plain Sphinx reads the same pages. What jupyter-book holds back (Sphinx 7) is taken from the package index as it comes.
sphinx: ## Build the book with the newest Sphinx alone (a check for the end of Jupyter Book 1)
	@sh -c "$$set_up" set_up "$(EXTRAS)"
	@$(IN_VENV) jupyter-book build book/
	@test -x .venv-sphinx/bin/python || $(IN_VENV) python -m venv .venv-sphinx
	@$(IN_VENV) python -c 'import tomllib; print("\n".join(d for d in tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"] if not d.startswith("jupyter-book")))' > .venv-sphinx/needs.txt
	@.venv-sphinx/bin/python -m pip install --quiet --upgrade --requirement .venv-sphinx/needs.txt myst-nb sphinx-book-theme sphinx-copybutton sphinx-design sphinx-togglebutton
	@$(IN_VENV) jupyter-book config sphinx book/ >/dev/null
	@sed "s/'jupyter_book', //; s/'companion.engine.sphinx.runs', //" book/conf.py > .venv-sphinx/conf.py; mv .venv-sphinx/conf.py book/conf.py
	@trap 'rm -f book/conf.py' EXIT; cd book && PYTHONPATH="$(CURDIR):_extensions" ../.venv-sphinx/bin/python -m sphinx -W -b html . ../.venv-sphinx/html
	@printf 'Built by plain Sphinx: %s\n' "$(CURDIR)/.venv-sphinx/html/index.html"

runs: ## Bring all runs up to date, without building the book
	@sh -c "$$set_up" set_up "$(EXTRAS)"
	@$(IN_VENV) companion build --runs

pocket: ## Train all pocket models from nothing and compare with those kept here
	@sh -c "$$set_up" set_up extract
	@$(IN_VENV) python data/pocket/make.py --check --work .companion/pocket-check
	@rm -rf .companion/pocket-check

check: ## Check what your change can break, in about a minute (BASE=main)
	@sh -c "$$set_up" set_up extract,test
	@$(IN_VENV) python .ci/check.py $(BASE)

test: ## Check the code and run the tests that take seconds
	@sh -c "$$set_up" set_up extract,test
	@$(MAKE) --no-print-directory lint
	@$(IN_VENV) python -m pytest -m "not slow" -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

test-slow: ## Run the tests that take minutes
	@sh -c "$$set_up" set_up extract,test,data
	@$(IN_VENV) python -m pytest -m slow -n 2 $(PYTEST_ARGS)

test-slurm: ## Try the grid on a SLURM of one node (root; installs Debian's packages)
	@sh -c "$$set_up" set_up extract,test,slurm
	@$(IN_VENV) python -m pytest tests/slurm/check_grid.py $(PYTEST_ARGS)

lint: ## Check style and types
	@sh -c "$$set_up" set_up extract,test
	@$(IN_VENV) ruff check .
	@$(IN_VENV) ruff format --check .
	@$(IN_VENV) mypy
	@$(IN_VENV) mypy --config-file .ci/notebooks.ini

words: ## Count the words of pages, captions and notebooks' comments
	@$(IN_VENV) python .ci/words.py

snapshot: ## Keep the numbers that the notebooks publish now; its diff shows which moved
	@sh -c "$$set_up" set_up extract
	@$(IN_VENV) companion build --runs
	@$(IN_VENV) python -m companion.engine.snapshot --write

sizes: ## Report how large each room of the house is (no test holds it)
	@$(IN_VENV) python .ci/sizes.py

release: ## Check and build a version, and try it in an empty environment (after make test)
	@sh -c "$$set_up" set_up extract,test,release
	@$(MAKE) --no-print-directory lint
	@$(IN_VENV) python .ci/release.py

clean: ## Remove the built book and the runs; keep .venv and the features on disk
	@rm -rf $(BUILD) book/runs .companion .venv-sphinx

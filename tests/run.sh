#!/usr/bin/env bash
# All checks of the project: style, types, tests. Real speech is used where ASRKIT_CORPORA names it.
set -euo pipefail
unset CDPATH
cd -- "$(dirname -- "$0")/.."
ruff check .
ruff format --check .
mypy
if command -v shellcheck >/dev/null; then
  for script in recipes/*/run.sh; do (cd -- "$(dirname -- "$script")" && shellcheck -x run.sh); done
  shellcheck .ci/run tests/run.sh tools/*.sh
fi
# Two processes with one thread each take a test file at a time; `tests/run.sh -n 0` runs in one.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
python -m pytest -n 2 --dist loadfile "$@"

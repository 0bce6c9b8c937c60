#!/usr/bin/env bash
# All checks of the project: style, types, tests. Real speech is used where ASRKIT_CORPORA names it.
set -euo pipefail
cd "$(dirname "$0")/.."
ruff check .
ruff format --check .
mypy
python -m pytest "$@"

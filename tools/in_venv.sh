#!/usr/bin/env bash
# Runs a command in asrkit's own virtual environment, .venv, made and filled first if it is not there.
#   tools/in_venv.sh recipes/librispeech/run.sh --toy
#   tools/in_venv.sh tests/run.sh
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${ASRKIT_VENV:-$root/.venv}
mark=$venv/.installed-$(cksum <"$root/setup.py" | cut -d' ' -f1)
if [[ ! -f $mark ]]; then
  echo "== installing asrkit and its packages into $venv (about 5 GB)" >&2
  "${PYTHON:-python3}" -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -e "${root}[test]"
  touch "$mark"
fi
export PATH="$venv/bin:$PATH"
exec "$@"

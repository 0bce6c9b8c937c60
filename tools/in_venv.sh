#!/usr/bin/env bash
# Runs a command in asrkit's own virtual environment, .venv, which is set up first if needed.
#   tools/in_venv.sh recipes/librispeech/run.sh --toy
#   tools/in_venv.sh tests/run.sh
# The second one also installs what only tests need; kenlm is left out if it can't be built.
set -euo pipefail
unset CDPATH
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
venv=${ASRKIT_VENV:-$root/.venv} python=${PYTHON:-python3}
version=$(cksum <"$root/setup.py" | cut -d' ' -f1)
extra=toy
if [[ ${1:-} && $(realpath -m -- "$1") == "$(realpath -- "$root")/tests/run.sh" ]]; then extra=test; fi

is_filled() { [[ -f $venv/.installed-$extra-$version || -f $venv/.installed-test-$version ]]; }

install() { "$venv/bin/pip" install --quiet --disable-pip-version-check -e "$root[$1]"; }

fill() {
  if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "$python is not Python 3.11 or newer; name one: PYTHON=python3.12 tools/in_venv.sh ..." >&2
    exit 2
  fi
  echo "== installing asrkit and its packages into $venv (about 5 GB)" >&2
  [[ -x $venv/bin/pip ]] || "$python" -m venv "$venv"
  install "$extra"
  if [[ $extra == test ]] && ! install kenlm >"$venv/kenlm.log" 2>&1; then
    echo "   kenlm can't be built, which needs a C++ compiler: see $venv/kenlm.log;" >&2
    echo "   the tests that compare with it are skipped" >&2
  fi
  touch "$venv/.installed-$extra-$version"
}

if ! is_filled; then
  mkdir -p "$venv"
  exec 9>"$venv/.lock"
  flock 9 # another process may be setting it up
  is_filled || fill
  exec 9>&-
fi
export PATH="$venv/bin:$PATH"
exec "$@"

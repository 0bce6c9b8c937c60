#!/usr/bin/env bash
# All that has to be tried on a machine with a GPU and without network, in one command.
#   tools/gpu_day.sh pack DIR --corpus CORPORA    on a machine with network: wheels and audio, small
#   tools/gpu_day.sh run --pack DIR --minutes 8 --out OUT
#                                                 there: tests, kernels, benchmarks, a training
#   tools/gpu_day.sh run --out OUT tests kernels  some of the parts, if the machine is only available briefly
#   tools/gpu_day.sh run --help                   the parts and options
# Without a GPU `run` does the same in miniature. Packages that Python lacks are taken from the pack,
# and nothing is installed: they are unpacked into a temporary folder.
set -euo pipefail
unset CDPATH
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname -- "$here") python=${PYTHON:-python3} verb=${1:-}
usage() { sed -n '2,/^set/{s/^# \{0,1\}//;/^set/!p}' "${BASH_SOURCE[0]}"; }

pack_of() { # the folder after --pack, if any
  while (($#)); do
    case $1 in
      --pack) printf '%s' "${2:-}" && return ;;
      --pack=*) printf '%s' "${1#*=}" && return ;;
    esac
    shift
  done
}

case $verb in
  pack)
    shift
    PYTHONPATH=$root exec "$python" "$root/tools/gpu_day/pack.py" "$@"
    ;;
  run)
    shift
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    PYTHONPATH=$root "$python" "$root/tools/gpu_day/packages.py" "$(pack_of "$@")" "$work/packages" || exit 1
    export PYTHONPATH=$root:$work/packages
    "$python" "$root/tools/gpu_day/run.py" --work "$work" "$@"
    ;;
  -h | --help | '') usage ;;
  *)
    echo "unknown verb $verb: pack or run" >&2
    exit 2
    ;;
esac

# Stages of a recipe: options, progress, and marks of what is done. Sourced by every run.sh after
# it has gone to its own folder.
#
#   stage 5 "train" conf/x.yaml data/manifests -- asrkit train ...
#
# runs the command unless it has run before with the same words and none of the inputs between the
# title and -- is newer. A stage that failed or was interrupted left no mark, so it runs again.
# Marks of stages 0 to 2 lie in the data folder, which several runs may share; others in the run
# folder. Whoever deletes a folder deletes its marks, too.
# shellcheck shell=bash

caller=$OLDPWD # paths on the command line are meant from there
first_stage=0 stop_stage=99 jobs=2 toy=false
overrides=()

usage() {
  cat <<USAGE
usage: run.sh [options] [key=value ...]
  --corpus DIR      folder of the corpus             ($corpus)
  --data DIR        manifests and tokenizers         ($data)
  --run DIR         checkpoints, decodes, scores     ($run)
  --conf FILE       spec of the experiment           ($conf)
  --stage N         first stage                      ($first_stage)
  --stop-stage N    last stage                       ($stop_stage)
  --jobs N          processes for data preparation   ($jobs)
  --toy             the same stages on a small synthesised corpus
${recipe_usage:-}
  key=value         changes to the spec, such as training.epochs=20
USAGE
}

# is_toy OPTION...: whether --toy is among the options; it changes the defaults of the others.
is_toy() { [[ " $* " == *" --toy "* ]]; }

# parse_options OPTION...: sets the variables above, and those that recipe_options names.
parse_options() {
  local name
  while (($#)); do
    name=${1#--}
    case $1 in
      -h | --help) usage; exit 0 ;;
      --toy) toy=true; shift; continue ;;
      --corpus | --data | --run | --conf | --stage | --stop-stage | --jobs) ;;
      --*) [[ " ${recipe_options:-} " == *" $name "* ]] || fail "unknown option $1; --help lists them" ;;
      *=*) overrides+=("$1"); shift; continue ;;
      *) fail "unknown word '$1'; expected an option or key=value; --help lists them" ;;
    esac
    [[ ${2:-} && ${2:-} != --* ]] || fail "$1 needs a value"
    set_option "$name" "$2"
    shift 2
  done
  if $toy && [[ ${corpus_given:-} ]]; then fail "--toy makes its own corpus: leave --corpus out"; fi
  [[ -f $conf ]] || fail "there is no spec $conf, neither in $caller nor in $PWD"
  run=${run/<spec>/$(basename "$conf" .yaml)}
  # shellcheck disable=SC2034 # recipes use it
  mapfile -t specs < <(spec_files "$conf")
  command -v asrkit >/dev/null || fail "asrkit is not installed in this environment; see README.md"
}

set_option() {
  case $1 in
    corpus) corpus=$(from_here "$2") corpus_given=true ;;
    data) data=$(from_here "$2") ;;
    run) run=$(from_here "$2") ;;
    conf) if [[ -f $caller/$2 ]]; then conf=$(from_here "$2"); else conf=$2; fi ;;
    stage) first_stage=$(number --stage "$2") ;;
    stop-stage) stop_stage=$(number --stop-stage "$2") ;;
    jobs) jobs=$(number --jobs "$2") ;;
    *) printf -v "${1//-/_}" %s "$2" ;;
  esac
}

# Returns a path that was meant from the caller's folder as it is called in this one.
from_here() {
  if [[ $1 == /* ]]; then echo "$1"; else realpath -m --relative-to=. "$caller/$1"; fi
}

# Prints a spec file and those that it extends: the inputs of stages that read it.
spec_files() {
  local base
  echo "$1"
  for base in $(sed -n 's/#.*//; s/^extends://p' "$1" | tr -d "[],'\""); do
    base=$(dirname "$1")/$base
    if [[ -f $base ]]; then spec_files "$base"; fi
  done
}

number() {
  [[ $2 =~ ^[0-9]+$ ]] || fail "$1 must be a number, got '$2'"
  echo "$((10#$2))"
}

fail() {
  echo "$(basename "$PWD")/run.sh: $*" >&2
  exit 2
}

# stage NUMBER TITLE INPUT... -- COMMAND...
stage() {
  local number=$1 title=$2 inputs=() status=0 marks=$run mark words
  shift 2
  while [[ $1 != -- ]]; do inputs+=("$1"); shift; done
  shift
  if ((number < first_stage || number > stop_stage)); then return 0; fi
  words=$(printf '%q ' "$@")
  words=${words% }
  if ((number < 3)); then marks=$data; fi
  mark="$marks/.done/$number-$(cksum <<<"$words" | cut -d' ' -f1)"
  if is_up_to_date "$mark" "${inputs[@]}"; then
    echo "== stage $number: $title: up to date"
    return 0
  fi
  echo "== stage $number: $title"
  echo "   $words"
  # An input that changes while the command runs must count as newer: the mark gets the start's time.
  local started
  started=$(date +%s.%N)
  "$@" || status=$?
  if ((status)); then
    {
      echo "stage $number ($title) failed with exit code $status: $words"
      echo "the same run.sh command goes on with this stage"
    } >&2
    exit "$status"
  fi
  mkdir -p "$marks/.done"
  touch -d "@$started" "$mark"
}

is_up_to_date() {
  local mark=$1 input
  shift
  [[ -f $mark ]] || return 1
  for input in "$@"; do
    [[ -e $input && ! $input -nt $mark ]] || return 1
  done
}

# show_results NUMBER FILE RUN...: writes and prints the table; never skipped, as it is the answer.
show_results() {
  if (($1 < first_stage || $1 > stop_stage)); then return 0; fi
  echo "== stage $1: results"
  python ../../tools/results_table.py --out "$2" "${@:3}"
}

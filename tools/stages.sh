# Stages of a recipe: options, progress, and marks of what is done. Sourced by every run.sh.
#
#   stage 5 "train" conf/x.yaml data/manifests -- asrkit train ...
#
# runs the command unless it ran before with the same words and none of the inputs between the
# title and -- is newer. A stage that was interrupted left no mark, so it runs again.
# shellcheck shell=bash

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
  key=value         changes to the spec, such as training.epochs=20
USAGE
}

parse_options() {
  toy=false first_stage=0 stop_stage=99 jobs=2 overrides=()
  local given
  while (($#)); do
    given=$1
    case $given in
      -h | --help) usage; exit 0 ;;
      --toy) toy=true; shift; continue ;;
      --corpus | --data | --run | --conf | --stage | --stop-stage | --jobs)
        (($# > 1)) || fail "$given needs a value"
        case $given in
          --corpus) corpus=$2 ;;
          --data) data=$2 ;;
          --run) run=$2 ;;
          --conf) conf=$2 ;;
          --stage) first_stage=$2 ;;
          --stop-stage) stop_stage=$2 ;;
          --jobs) jobs=$2 ;;
        esac
        shift 2 ;;
      --*) fail "unknown option $given; --help lists them" ;;
      *=*) overrides+=("$given"); shift ;;
      *) fail "unknown word $given; expected an option or key=value" ;;
    esac
  done
  command -v asrkit >/dev/null || fail "asrkit is not installed in this environment; see README.md"
}

fail() {
  echo "$(basename "$PWD")/run.sh: $*" >&2
  exit 2
}

# stage NUMBER TITLE INPUT... -- COMMAND...
stage() {
  local number=$1 title=$2 inputs=()
  shift 2
  while [[ $1 != -- ]]; do inputs+=("$1"); shift; done
  shift
  if ((number < first_stage || number > stop_stage)); then return 0; fi
  local words="$*" done_marks="$run/done" mark
  mark="$done_marks/$number-$(echo "$words" | cksum | cut -d' ' -f1)"
  if is_up_to_date "$mark" "${inputs[@]}"; then
    echo "== stage $number: $title: up to date"
    return 0
  fi
  echo "== stage $number: $title"
  echo "   $words"
  local status=0
  "$@" || status=$?
  if ((status)); then
    echo "stage $number ($title) failed with exit code $status; the same command goes on here" >&2
    exit "$status"
  fi
  mkdir -p "$done_marks"
  touch "$mark"
}

is_up_to_date() {
  local mark=$1 input
  shift
  [[ -f $mark ]] || return 1
  for input in "$@"; do
    [[ -e $input && ! $input -nt $mark ]] || return 1
  done
}

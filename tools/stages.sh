# Stages of a recipe: options, progress, and marks of what is done. Sourced by every run.sh after
# it has gone to its own folder.
#
#   stage 1 "manifests" corpus -- python prepare.py manifests ...
#   stage 5 "train" -- asrkit train ...
#
# runs the command unless it has run before with the same words, and on inputs of the same content:
# those between the title and --, and what a verb of asrkit says that it reads. A stage that failed or
# was interrupted left no mark, so it runs again.
# Marks of stages 0 to 2 lie in the data folder, which several runs may share; others in the run
# folder. Whoever deletes a folder deletes its marks, too.
# shellcheck shell=bash

export PYTHONUTF8=1 # in any locale
caller=$OLDPWD # paths on the command line are meant from there
unset CDPATH   # else cd may go elsewhere, and prints where
tools=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
first_stage=0 stop_stage=99 jobs=2 gpus=1 toy=false
lm='' ngram=0 ilm='' decoding='' table='' decodes=3
gmm='' network='' lexicon=cmudict entropy=0 states=2000 speeds=(0.9 1.1) lm_units=4000
word_searches=conf/decode/gmm.yaml first_searches=conf/decode/gmm-first.yaml
network_searches=conf/decode/hybrid.yaml
overrides=() lm_text=() searches=() sets=() manifest_options=() hearing=() trainer=(asrkit)
lm_text_options=()
declare -A needs=()
# shellcheck source=signals.sh
source "$tools/signals.sh"
# shellcheck source=standard_stages.sh
source "$tools/standard_stages.sh"
# shellcheck source=hybrid_stages.sh
source "$tools/hybrid_stages.sh"

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
  --channel WORD    what is heard of files with several channels: first, mix, or a number from 0 on
  --allow-missing   test sets may lack utterances; scores say how many
  --gpus N          processes for training, each with a GPU where there is one    ($gpus)
  --toy             the same stages on a small synthesised corpus
  --lm FILE         spec of a language model: stage 4 trains it, and says its perplexity; with --gmm
                    it reorders what was found, interpolated with the n-gram model
  --lm-text FILE... sentences for it besides the transcripts, plain, .gz or .xz
  --ngram N         with --lm, an n-gram model of this order on the same text; with --gmm, that of words (3)
  --ilm FILE        spec of a mini-LSTM: stage 6 trains it in RUN, with the decoder frozen
  --decoding FILE   spec whose searches replace those of --conf; all of them, if --search is left out
  --search NAME...  searches that decode and are scored    (joint)
  --sets NAME...    sets that are decoded                  (all of dev and test)
  --table FILE      spec of searches: stage 9 tunes them on dev, decodes, and puts a table of them
                    into the results
  --gmm FILE        spec of Gaussian mixtures: a hybrid system, with a lexicon and a graph of words
  --network FILE    with --gmm, spec of a network that is trained on their alignments
  --lexicon WORD    with --gmm, cmudict, graphemes or the file of a lexicon  ($lexicon)
  --states N        of a network of lattice-free MMI: most tied states    ($states)
  --entropy X       with --gmm, first passes lack n-grams that change perplexity by less  ($entropy)
  --results FILE    where the table of results is written    (RESULTS.md next to the run)
  --decodes N       decodes that each search is tuned with, after the first    ($decodes)
${recipe_usage:-}
  key=value         changes to the spec, such as training.epochs=20
USAGE
}

# is_toy OPTION...: whether --toy is among the options; it changes the defaults of the others.
is_toy() { [[ " $* " == *" --toy "* ]]; }

# parse_options OPTION...: sets the variables above, and those that recipe_options names.
parse_options() {
  local name word
  while (($#)); do
    if [[ $1 == --*=* ]]; then set -- "${1%%=*}" "${1#*=}" "${@:2}"; fi
    if [[ $1 == --* ]]; then set -- "${1//_/-}" "${@:2}"; fi # --stop_stage is --stop-stage
    name=${1#--}
    case $1 in
      -h | --help) usage; exit 0 ;;
      --toy) toy=true; shift; continue ;;
      --allow-missing) manifest_options+=("$1"); shift; continue ;;
      --corpus | --data | --run | --conf | --stage | --stop-stage | --jobs | --gpus | --channel) ;;
      --lm | --lm-text | --ngram | --ilm | --decoding | --search | --sets | --table | --decodes | --results) ;;
      --gmm | --network | --lexicon | --entropy | --states) ;;
      --*) [[ " ${recipe_options:-} " == *" $name "* ]] || fail "unknown option $1; --help lists them" ;;
      *=*)
        overrides+=("$1")
        # These matter to a run that was trained already.
        if [[ $1 == data.@(decoding.@(max|batch)_seconds|max_decode_seconds|decode_batch_seconds)=* ]]; then hearing+=("$1"); fi
        shift
        continue
        ;;
      *) fail "unknown word '$1'; expected an option or key=value; --help lists them" ;;
    esac
    [[ ${2:-} && ${2:-} != --* ]] || fail "$1 needs a value"
    set_option "$name" "$2"
    shift 2
    # These take several words.
    while [[ $name == @(lm-text|search|sets) && ${1:-} && $1 != --* && $1 != *=* ]]; do
      set_option "$name" "$1"
      shift
    done
  done
  if $toy && [[ ${corpus_given:-} ]]; then fail "--toy makes its own corpus: leave --corpus out"; fi
  for word in "$conf" "$lm" "$ilm" "$decoding" "$table" "$gmm" "$network"; do
    [[ -z $word || -f $word ]] || fail "there is no spec $word, neither in $caller nor in $PWD"
  done
  [[ $lm || $gmm ]] || ((ngram + ${#lm_text[@]} == 0)) ||
    fail "--lm-text and --ngram need --lm FILE or --gmm FILE"
  if [[ $gmm ]] && ((ngram == 0)); then ngram=3; fi
  [[ $gmm || ! $network ]] || fail "--network needs --gmm FILE: it learns the alignments of mixtures"
  command -v asrkit >/dev/null || fail "asrkit is not installed in this environment; see README.md"
  run=${run/<spec>/"$(basename -- "${network:-$conf}" .yaml)"} # quoted: & would stand for <spec>
  gmm_run=$(dirname -- "$run")/gmm-$(basename -- "$gmm" .yaml)
  chain_run=$(dirname -- "$run")/chain-$(basename -- "$gmm" .yaml)
  results=${results:-$(dirname -- "$run")/RESULTS.md}
  # Decode specs find it by its name, because it is next to the run.
  lm_run=$(dirname -- "$run")/lm-$(basename -- "$lm" .yaml)
  if ((gpus > 1)); then
    # After -- torchrun takes no option for its own.
    trainer=(torchrun --standalone --nproc-per-node "$gpus" -m -- asrkit)
    # It passes these on; USR1 and others would only end it.
    export TORCHELASTIC_SIGNALS_TO_HANDLE=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1,SIGUSR2,SIGXCPU
  fi
}

set_option() {
  case $1 in
    corpus) corpus=$(from_here "$2") corpus_given=true ;;
    data) data=$(from_here "$2") ;;
    run) run=$(from_here "$2") ;;
    results) results=$(from_here "$2") results_given=true ;;
    conf | lm | ilm | decoding | table | gmm | network)
      if [[ -f $caller/$2 ]]; then printf -v "$1" %s "$(from_here "$2")"; else printf -v "$1" %s "$2"; fi
      ;;
    lexicon)
      lexicon=$2
      if [[ -f $caller/$2 ]]; then lexicon=$(from_here "$2"); fi
      ;;
    entropy) entropy=$2 ;;
    lm-text) lm_text+=("$(from_here "$2")") ;;
    search) searches+=("$2") ;;
    sets) sets+=("$2") ;;
    channel) manifest_options+=(--channel "$2") ;;
    ngram | decodes | states) printf -v "$1" %s "$(number "--$1" "$2")" ;;
    stage) first_stage=$(number --stage "$2") ;;
    stop-stage) stop_stage=$(number --stop-stage "$2") ;;
    jobs) jobs=$(number --jobs "$2") ;;
    gpus)
      gpus=$(number --gpus "$2")
      ((gpus)) || fail "--gpus must be at least 1; training finds out itself whether there is a GPU"
      ;;
    *) printf -v "${1//-/_}" %s "$2" ;;
  esac
}

# Returns a path that was meant from the caller's folder as it is called in this one.
from_here() {
  if [[ $1 == /* ]]; then printf '%s\n' "$1"; else realpath -m --relative-to=. -- "$caller/$1"; fi
}

# lines_of NAME COMMAND...: sets an array to the lines that a command prints.
lines_of() {
  local printed
  printed=$("${@:2}") || exit 2
  if [[ $printed ]]; then mapfile -t "$1" <<<"$printed"; else mapfile -t "$1" </dev/null; fi
}

number() {
  [[ $2 =~ ^[0-9]{1,9}$ ]] || fail "$1 must be a number, got '$2'"
  echo "$((10#$2))"
}

fail() {
  echo "$(basename -- "$PWD")/run.sh: $*" >&2
  exit 2
}

# stage NUMBER TITLE INPUT... -- COMMAND...
stage() {
  local number=$1 title=$2 inputs=() status=0 marks=$run mark words found changed
  shift 2
  while [[ $1 != -- ]]; do inputs+=(--input "$1"); shift; done
  shift
  if ((number < first_stage || number > stop_stage)); then return 0; fi
  words=$(printf '%q ' "$@")
  words=${words% }
  if ((number < 3)); then marks=$data; fi
  # Taken before the command runs: an input that changes meanwhile must count as changed.
  found=$(digests_of "${inputs[@]}" -- "$@") || exit 2
  mark="$marks/.done/$number-${found%% *}"
  changed=$(changed_since "$mark" "$found")
  if [[ -f $mark && ! $changed ]]; then
    echo "== stage $number: $title: up to date"
    return 0
  fi
  echo "== stage $number: $title"
  if [[ -s $mark ]]; then
    echo "   again, as these have changed: ${changed//$'\n'/ }"
  elif [[ -f $mark ]]; then
    echo "   again, as its mark is of a version that did not record what its inputs were"
  fi
  echo "   $words"
  signalled "$@" || status=$?
  if [[ $1 == torchrun && $last_signal ]] && ((status == 1)); then
    status=75 # so torchrun ends when its processes have saved and ended
    if [[ $last_signal == INT ]]; then status=130; fi
  fi
  if ((status)); then
    local ended="failed with exit code $status"
    if ((status == 75)); then ended="was stopped and has saved its work (exit code 75)"; fi
    if ((status == 130)); then ended="was interrupted"; fi
    {
      echo "stage $number ($title) $ended: $words"
      echo "the same run.sh command continues with this stage"
    } >&2
    exit "$status"
  fi
  # What was not there before is what the command made.
  if [[ $found == *missing* ]]; then found=$(digests_of "${inputs[@]}" -- "$@") || exit 2; fi
  mkdir -p "$marks/.done"
  printf '%s\n' "$found" >"$mark.partial"
  mv "$mark.partial" "$mark"
  if [[ $last_signal ]]; then
    echo "stopped by SIG$last_signal after stage $number ($title); the same run.sh command goes on" >&2
    if [[ $last_signal == INT ]]; then exit 130; else exit 75; fi
  fi
}

# digests_of [--input FILE]... [-- COMMAND...]: prints a digest of the command, and one of each input
# and of what the command reads. Results that lie in an input folder do not count.
digests_of() {
  python -m asrkit files stage --without "$data" --without "$(dirname -- "$run")" "$@"
}

# changed_since MARK DIGESTS: prints the names of inputs of which the mark has no such digest.
changed_since() {
  if [[ -f $1 ]]; then
    { grep -vxFf "$1" <<<"$2" || true; grep '^missing ' <<<"$2" || true; } | cut -d' ' -f2- | sort -u
  fi
}


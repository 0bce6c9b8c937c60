# Stages of a recipe: options, progress, and marks of what is done. Sourced by every run.sh after
# it has gone to its own folder.
#
#   stage 5 "train" conf/x.yaml data/manifests -- asrkit train ...
#
# runs the command unless it has run before with the same words, and on inputs (between the title and
# --) of the same content. A stage that failed or was interrupted left no mark, so it runs again.
# Marks of stages 0 to 2 lie in the data folder, which several runs may share; others in the run
# folder. Whoever deletes a folder deletes its marks, too.
# shellcheck shell=bash

export PYTHONUTF8=1 # in any locale
caller=$OLDPWD # paths on the command line are meant from there
unset CDPATH   # else cd may go elsewhere, and prints where
tools=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
first_stage=0 stop_stage=99 jobs=2 gpus=1 toy=false
lm='' ngram=0 ilm='' decoding='' table='' decodes=3
overrides=() lm_text=() searches=() sets=() manifest_options=() hearing=() trainer=(asrkit)
passed_on=(TERM HUP USR1 USR2 XCPU INT) child='' last_signal='' interrupted=false

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
  --lm FILE         spec of a language model: stage 4 trains it, and says its perplexity
  --lm-text FILE... sentences for it besides the transcripts, plain, .gz or .xz
  --ngram N         with --lm, an n-gram model of this order on the same text
  --ilm FILE        spec of a mini-LSTM: stage 6 trains it in RUN, beside the frozen decoder
  --decoding FILE   spec whose searches replace those of --conf; all of them, if --search is left out
  --search NAME...  searches that decode and are scored    (joint)
  --sets NAME...    sets that are decoded                  (all of dev and test)
  --table FILE      spec of searches: stage 9 tunes them on dev, decodes, and puts a table of them
                    into the results
  --results FILE    where the table of results is written    (RESULTS.md beside the run)
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
      --*) [[ " ${recipe_options:-} " == *" $name "* ]] || fail "unknown option $1; --help lists them" ;;
      *=*)
        overrides+=("$1")
        # These matter to a run that was trained already.
        if [[ $1 == data.@(max_decode_seconds|decode_batch_seconds)=* ]]; then hearing+=("$1"); fi
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
  for word in "$conf" "$lm" "$ilm" "$decoding" "$table"; do
    [[ -z $word || -f $word ]] || fail "there is no spec $word, neither in $caller nor in $PWD"
  done
  [[ $lm ]] || ((ngram + ${#lm_text[@]} == 0)) || fail "--lm-text and --ngram need --lm FILE"
  command -v asrkit >/dev/null || fail "asrkit is not installed in this environment; see README.md"
  run=${run/<spec>/"$(basename -- "$conf" .yaml)"} # quoted: & would stand for <spec>
  results=${results:-$(dirname -- "$run")/RESULTS.md}
  # Decode specs find it by its name, as it is beside the run.
  lm_run=$(dirname -- "$run")/lm-$(basename -- "$lm" .yaml)
  spec_files specs "$conf"
  if ((gpus > 1)); then
    # After -- torchrun takes no option for its own.
    trainer=(torchrun --standalone --nproc-per-node "$gpus" -m -- asrkit)
    # It passes these on; USR1 and others would only end it.
    export TORCHELASTIC_SIGNALS_TO_HANDLE=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1,SIGUSR2,SIGXCPU
  fi
  if [[ $decoding && -z ${searches[*]} ]]; then
    lines_of searches python "$tools/search_names.py" "$decoding"
  fi
  ((${#searches[@]})) || searches=(joint)
}

set_option() {
  case $1 in
    corpus) corpus=$(from_here "$2") corpus_given=true ;;
    data) data=$(from_here "$2") ;;
    run) run=$(from_here "$2") ;;
    results) results=$(from_here "$2") results_given=true ;;
    conf | lm | ilm | decoding | table)
      if [[ -f $caller/$2 ]]; then printf -v "$1" %s "$(from_here "$2")"; else printf -v "$1" %s "$2"; fi
      ;;
    lm-text) lm_text+=("$(from_here "$2")") ;;
    search) searches+=("$2") ;;
    sets) sets+=("$2") ;;
    channel) manifest_options+=(--channel "$2") ;;
    ngram | decodes) printf -v "$1" %s "$(number "--$1" "$2")" ;;
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

# spec_files NAME FILE: sets an array to a spec file and those that it extends: the inputs of stages
# that read it.
spec_files() {
  lines_of "$1" python -m asrkit files -- "$2"
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
  while [[ $1 != -- ]]; do inputs+=("$1"); shift; done
  shift
  if ((number < first_stage || number > stop_stage)); then return 0; fi
  words=$(printf '%q ' "$@")
  words=${words% }
  if ((number < 3)); then marks=$data; fi
  mark="$marks/.done/$number-$(words_that_matter "$@" | cksum | cut -d' ' -f1)"
  # Taken before the command runs: an input that changes meanwhile must count as changed.
  found=$(digests_of "${inputs[@]}") || exit 2
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
      echo "the same run.sh command goes on with this stage"
    } >&2
    exit "$status"
  fi
  # What was not there before is what the command made.
  if [[ $found == *missing* ]]; then found=$(digests_of "${inputs[@]}") || exit 2; fi
  mkdir -p "$marks/.done"
  printf '%s\n' "$found" >"$mark.partial"
  mv "$mark.partial" "$mark"
  if [[ $last_signal ]]; then
    echo "stopped by SIG$last_signal after stage $number ($title); the same run.sh command goes on" >&2
    if [[ $last_signal == INT ]]; then exit 130; else exit 75; fi
  fi
}

# signalled COMMAND...: runs a command that also gets the signals that only this shell is sent, as by
# a scheduler or `kill PID`, and waits until it has saved and ended; returns its exit code. It has the
# shell's stdin, and is in its process group: Ctrl-C and Ctrl-Z reach it from the terminal.
signalled() {
  local status=0 name
  last_signal='' child=''
  for name in "${passed_on[@]}"; do
    # shellcheck disable=SC2064 # the name of now is meant
    trap "pass_on $name" "$name"
  done
  # Commands in the background ignore SIGINT, unless told otherwise.
  (trap - INT QUIT; if [[ $(type -t "$1") == file ]]; then exec "$@"; else "$@"; fi) <&0 &
  child=$!
  if [[ $last_signal ]]; then kill -s "$last_signal" "$child" || true; fi # it came before the child
  interrupted=true
  while $interrupted; do # a signal ends `wait`, not the command
    interrupted=false status=0
    wait "$child" || status=$?
  done
  trap - "${passed_on[@]}"
  return "$status"
}

# pass_on SIGNAL: gives it to the command, unless that has it from the terminal's Ctrl-C, which goes
# to the whole process group.
pass_on() {
  local group foreground
  last_signal=$1 interrupted=true
  if [[ $1 == INT ]]; then
    read -r group foreground < <(ps -o pgid=,tpgid= -p $$ 2>/dev/null) || true
    if [[ ${group:-} && $group == "${foreground:-}" ]]; then return 0; fi
  fi
  if [[ $child ]]; then kill -s "$1" "$child" 2>/dev/null || true; fi
}

# words_that_matter WORD...: prints a command without what changes nothing of its results: how many
# processes work on it.
words_that_matter() {
  if [[ $1 == torchrun ]]; then
    while [[ $1 != -- ]]; do shift; done
    shift
  fi
  while (($#)); do
    if [[ $1 == --jobs ]]; then shift 2; else printf '%q ' "$1"; shift; fi
  done
  echo
}

# digests_of INPUT...: prints a digest and the name of each, by line. Results that lie in an input
# folder do not count.
digests_of() {
  if (($#)); then
    python "$tools/digests.py" --without "$data" --without "$(dirname -- "$run")" -- "$@"
  fi
}

# changed_since MARK DIGESTS: prints the names of inputs of which the mark has no such digest.
changed_since() {
  if [[ -f $1 ]]; then
    { grep -vxFf "$1" <<<"$2" || true; grep '^missing ' <<<"$2" || true; } | cut -d' ' -f2- | sort -u
  fi
}

# as_yaml PATH: prints a path as it stands in YAML, where #, : and numbers mean other things.
as_yaml() {
  local quote="'"
  if [[ $1 =~ ^[[:alnum:]_./][[:alnum:]_./-]*$ && ($1 == */[[:alpha:]]* || $1 == [[:alpha:]]*.gz) ]]; then
    echo "$1"
  else
    echo "'${1//$quote/"$quote$quote"}'"
  fi
}

# check_specs: stage 3 of the specs that later stages read, so that a typo is not found after training.
check_specs() {
  local spec found
  for spec in "$lm" "$ilm" "$decoding" "$table"; do
    [[ $spec ]] || continue
    spec_files found "$spec"
    stage 3 "check $spec" "${found[@]}" -- asrkit check "$spec"
  done
}

# language_model DEV OPTION...: stage 4 where there is --lm. Trains on the transcripts and --lm-text,
# which `prepare.py text` writes like transcripts; the OPTIONs are for that.
language_model() {
  local dev=${1:-dev} name lm_specs text='' changes=() texts=()
  [[ $lm ]] || return 0
  name=lm-$(basename -- "$lm" .yaml)
  spec_files lm_specs "$lm"
  if ((${#lm_text[@]})); then
    text=$data/text/$name.txt.gz texts=(--text "$text")
    changes=("data.files=[$(as_yaml "$name.txt.gz")]")
    run=$data stage 4 "text of the language model" "${lm_text[@]}" -- \
      python prepare.py text "${lm_text[@]}" --out "$text" "${@:2}"
  fi
  local inputs=("${lm_specs[@]}" "$data/text/bpe.model" ${text:+"$text"})
  # The marks lie where the results do, which other runs share.
  run=$lm_run stage 4 "language model" "${inputs[@]}" -- \
    "${trainer[@]}" train "$lm" --data "$data" --run "$lm_run" "${changes[@]}"
  run=$lm_run stage 4 "average checkpoints" "$lm_run/checkpoints/index.json" -- \
    asrkit average --run "$lm_run" --best 3
  run=$lm_run stage 4 "perplexity on $dev" "$lm_run/checkpoints/average.pt" -- \
    asrkit perplexity --run "$lm_run" --data "$data" --set "$dev"
  if ((ngram)); then
    run=$data stage 4 "n-gram model" "$data/text/bpe.model" ${text:+"$text"} -- \
      asrkit ngram --data "$data" --set train "${texts[@]}" --order "$ngram" --units bpe \
      --name "$name-${ngram}gram" --dev "$dev"
  fi
}

# internal_language_model: stage 6 where there is --ilm. Trains what stands in for the attention of
# this run's decoder, in the run's folder; anew if the decoder's weights have changed.
internal_language_model() {
  local weights=$run/checkpoints/average.pt ilm_run ilm_specs base=$run found
  [[ $ilm ]] || return 0
  if ((first_stage > 6 || stop_stage < 6)); then return 0; fi
  ilm_run=$run/$(basename -- "$ilm" .yaml)
  spec_files ilm_specs "$ilm"
  found=$(digests_of "$weights") || exit 2
  if [[ -f $weights && -d $ilm_run && $(changed_since "$ilm_run/.done/base" "$found") ]]; then
    echo "== stage 6: $ilm_run was trained on other weights than $weights: trained anew"
    rm -rf "$ilm_run"
  fi
  mkdir -p "$ilm_run/.done"
  printf '%s\n' "$found" >"$ilm_run/.done/base"
  run=$ilm_run stage 6 "internal language model" "${ilm_specs[@]}" "$weights" -- \
    "${trainer[@]}" train "$ilm" --data "$data" --run "$ilm_run" "imports[0].run=$(as_yaml "$base")"
  run=$ilm_run stage 6 "average its checkpoints" "$ilm_run/checkpoints/index.json" -- \
    asrkit average --run "$ilm_run" --best 3
}

# sets_named START: prints the names of the sets that begin so.
sets_named() {
  local manifest
  for manifest in "$data/manifests/$1"*.jsonl; do
    if [[ -e $manifest ]]; then basename -- "$manifest" .jsonl; fi
  done
}

# score_options SET: prints options of `asrkit score` for a set, a word per line. Recipes with
# references of their own define it anew.
score_options() { :; }

# decode_and_score SET: stages 7 and 8, with each of the searches; nothing if --sets leaves it out.
decode_and_score() {
  local search name
  if ((stop_stage >= 7 && ${#sets[@]})); then
    for name in "${sets[@]}"; do
      [[ -e $data/manifests/$name.jsonl ]] || fail "there is no set $name in $data/manifests"
    done
    [[ " ${sets[*]} " == *" $1 "* ]] || return 0
  fi
  for search in "${searches[@]}"; do
    search_set 7 8 "$1" "$search" "$decoding"
  done
}

# search_set DECODE SCORE SET SEARCH [SPEC]: decodes and scores, as stages of these numbers.
search_set() {
  local options=() searched=("$run/resolved.yaml") inputs
  if [[ ${5:-} ]]; then
    options=(--spec "$5")
    spec_files searched "$5"
  fi
  inputs=("$run/checkpoints/average.pt" "$data/manifests/$3.jsonl" "${searched[@]}")
  if [[ $lm ]]; then inputs+=("$lm_run/checkpoints/average.pt"); fi
  stage "$1" "decode $3 by $4" "${inputs[@]}" -- \
    asrkit decode --run "$run" --data "$data" --set "$3" --search "$4" "${options[@]}" \
    "${hearing[@]}"
  score_set "$2" "$3" "$4"
}

# score_set NUMBER SET SEARCH: scores what was decoded.
score_set() {
  local inputs=("$run/decode/$3/$2/nbest.jsonl") references word
  lines_of references score_options "$2"
  for word in "${references[@]}"; do
    if [[ -f $word ]]; then inputs+=("$word"); fi
  done
  stage "$1" "score $2 by $3" "${inputs[@]}" -- \
    asrkit score --run "$run" --set "$2" --search "$3" "${references[@]}"
}

# search_table RESULTS DEV TEST...: stage 9 where there is --table. Tunes each of its searches on dev,
# which decodes that; decodes the other sets, scores all, counts search errors, and writes the results
# anew. Searches whose other models are missing are left out.
search_table() {
  local results=$1 dev=${2:-dev} lines line words name set tests=("${@:3}") table_specs options=()
  [[ $table ]] || return 0
  if ((first_stage > 9 || stop_stage < 9)); then return 0; fi
  spec_files table_specs "$table"
  lines_of lines python "$tools/search_names.py" "$table" --run "$run" --data "$data"
  ((${#lines[@]})) || fail "no search of $table has all that it needs"
  if grep -q "prior:" "${table_specs[@]}"; then
    stage 9 "label priors" "$run/checkpoints/average.pt" -- \
      asrkit prior --run "$run" --data "$data" --set train "${hearing[@]}"
  fi
  for line in "${lines[@]}"; do
    IFS=$'\t' read -ra words <<<"$line" # name, and files of other models
    name=${words[0]}
    options+=(--search "$name")
    stage 9 "tune $name on $dev" "$run/checkpoints/average.pt" "${words[@]:1}" "${table_specs[@]}" -- \
      asrkit tune --run "$run" --data "$data" --set "$dev" --search "$name" --spec "$table" \
      --decodes "$decodes" "${hearing[@]}"
    score_set 9 "$dev" "$name"
    for set in "${tests[@]}"; do
      search_set 9 9 "$set" "$name" "$run/tune/$name.yaml"
      stage 9 "search errors of $name on $set" "$run/decode/$name/$set/nbest.jsonl" -- \
        asrkit search-errors --run "$run" --data "$data" --set "$set" --search "$name" \
        "${hearing[@]}"
    done
  done
  for set in "${tests[@]}"; do options+=(--test "$set"); done
  echo "== stage 9: table"
  asrkit table --run "$run" --dev "$dev" --spec "$table" "${options[@]}"
  show_results 9 "$results" "$run"
}

# show_results NUMBER FILE RUN...: writes and prints the table; never skipped, as it is the answer.
# Other runs that are in the file stay there. A run or data elsewhere are not the recipe's own: their
# results stand beside the run, in a file of their own, unless --results names another.
show_results() {
  local out=$2
  if (($1 < first_stage || $1 > stop_stage)); then return 0; fi
  if [[ ! ${results_given:-} ]] && { ! is_inside "$run" || ! is_inside "$data"; }; then
    out=$(dirname -- "$run")/RESULTS.md
  fi
  echo "== stage $1: results"
  python "$tools/results_table.py" --keep --out "$out" -- "${@:3}"
}

# is_inside PATH: whether a path is in the recipe's folder, as it is written: links are not followed.
is_inside() { [[ $(realpath -ms -- "$1") == "$(realpath -ms .)"/* ]]; }

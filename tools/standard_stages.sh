# The stages that all recipes share, from the tokenizer to the table of results. Sourced by
# stages.sh. Their numbers mean the same in every recipe; 0 and 1 are the recipe's own.
# shellcheck shell=bash
# shellcheck disable=SC2154 # options are set by stages.sh

# toy_corpus LAYOUT DIR: stage 0 where there is --toy.
toy_corpus() {
  if $toy; then
    stage 0 "make a toy corpus" -- \
      python "$tools/make_toy_corpus.py" --layout "$1" --out "$2"
  fi
}

# standard_stages TEST...: stages 2 to 9. Sets whose names begin with `dev` are for development, the
# last of them for tuning; those that begin with a TEST are reported.
standard_stages() {
  local devs=() tests=() set
  stage 2 "BPE" -- \
    asrkit tokenizer bpe --data "$data" --set train --size "$units" --name bpe --force
  stage 3 "check spec and utterances" -- asrkit check "$conf" --data "$data" "${overrides[@]}"
  check_specs
  if ((stop_stage >= 4)); then
    lines_of devs python -m asrkit files sets "$data" dev
    lines_of tests python -m asrkit files sets "$data" "$@"
  fi
  # Features are computed while training: there is nothing to dump.
  ((${#devs[@]})) || devs=(dev) # no stage below needs them
  language_model "${devs[-1]}"
  stage 5 "train" -- "${trainer[@]}" train "$conf" --data "$data" --run "$run" "${overrides[@]}"
  stage 6 "average checkpoints" -- asrkit average --run "$run" --best 10
  internal_language_model
  if ((first_stage <= 8 && stop_stage >= 7)); then
    check_sets "${devs[@]}" "${tests[@]}"
    needs_of_searches
    for set in "${devs[@]}" "${tests[@]}"; do decode_and_score "$set"; done
  fi
  show_results 8
  search_table "${devs[-1]:-dev}" "${tests[@]}"
}

# check_specs: stage 3 of the specs that later stages read, so that a typo is not found after training.
check_specs() {
  local spec
  for spec in "$lm" "$ilm" "$decoding" "$table"; do
    if [[ $spec ]]; then stage 3 "check $spec" -- asrkit check "$spec"; fi
  done
}

# language_model DEV: stage 4 where there is --lm. Trains on the transcripts and --lm-text, which
# `prepare.py text` writes like transcripts, with the options of lm_text_options.
language_model() {
  local name text='' changes=() texts=()
  [[ $lm ]] || return 0
  name=lm-$(basename -- "$lm" .yaml)
  if ((${#lm_text[@]})); then
    text=$data/text/$name.txt.gz texts=(--text "$text")
    changes=("data.files=[$(as_yaml "$name.txt.gz")]")
    run=$data stage 4 "text of the language model" "${lm_text[@]}" -- \
      python prepare.py text "${lm_text[@]}" --out "$text" "${lm_text_options[@]}"
  fi
  # The marks lie where the results do, which other runs share.
  run=$lm_run stage 4 "language model" ${text:+"$text"} -- \
    "${trainer[@]}" train "$lm" --data "$data" --run "$lm_run" "${changes[@]}"
  run=$lm_run stage 4 "average checkpoints" -- asrkit average --run "$lm_run" --best 3
  run=$lm_run stage 4 "perplexity on $1" -- \
    asrkit perplexity --run "$lm_run" --data "$data" --set "$1"
  if ((ngram)); then
    run=$data stage 4 "n-gram model" -- \
      asrkit ngram --data "$data" --set train "${texts[@]}" --order "$ngram" --units bpe \
      --name "$name-${ngram}gram" --dev "$1"
  fi
}

# internal_language_model: stage 6 where there is --ilm. Trains what stands in for the attention of
# this run's decoder, in the run's folder; again if the decoder's weights have changed.
internal_language_model() {
  local weights ilm_run base=$run found
  [[ $ilm ]] || return 0
  if ((first_stage > 6 || stop_stage < 6)); then return 0; fi
  ilm_run=$run/$(basename -- "$ilm" .yaml)
  lines_of weights python -m asrkit files run "$run" average
  found=$(digests_of --input "${weights[0]}") || exit 2
  if [[ $found != missing* && -d $ilm_run && $(changed_since "$ilm_run/.done/base" "$found") ]]; then
    echo "== stage 6: $ilm_run was trained on other weights than ${weights[0]}: trained again"
    rm -rf "$ilm_run"
  fi
  mkdir -p "$ilm_run/.done"
  printf '%s\n' "$found" >"$ilm_run/.done/base"
  run=$ilm_run stage 6 "internal language model" "${weights[0]}" -- \
    "${trainer[@]}" train "$ilm" --data "$data" --run "$ilm_run" "imports[0].run=$(as_yaml "$base")"
  run=$ilm_run stage 6 "average its checkpoints" -- asrkit average --run "$ilm_run" --best 3
}

# check_sets SET...: fails where --sets names another one.
check_sets() {
  local name
  for name in "${sets[@]}"; do
    [[ " $* " == *" $name "* ]] || fail "there is no set $name in $data; there are: $*"
  done
}

# needs_of_searches: sets `needs`, the files of other models by name of the search; with --decoding
# and no --search, all of its searches decode.
needs_of_searches() {
  local lines line words names=()
  lines_of lines python -m asrkit files searches "$run" --data "$data" \
    ${decoding:+--spec "$decoding"}
  for line in "${lines[@]}"; do
    words=${line%%$'\t'*}
    names+=("$words")
    needs[$words]=${line#"$words"}
  done
  if ((! ${#searches[@]})) && [[ $decoding ]]; then searches=("${names[@]}"); fi
  ((${#searches[@]})) || searches=(joint)
}

# score_options SET: prints options of `asrkit score` for a set, a word per line. Recipes with
# references of their own define it again.
score_options() { :; }

# decode_and_score SET: stages 7 and 8, with each of the searches; nothing if --sets leaves it out.
decode_and_score() {
  local search
  if ((${#sets[@]})) && [[ " ${sets[*]} " != *" $1 "* ]]; then return 0; fi
  for search in "${searches[@]}"; do search_set 7 8 "$1" "$search" "$decoding"; done
}

# search_set DECODE SCORE SET SEARCH [SPEC]: decodes and scores, as stages of these numbers.
search_set() {
  local others=()
  IFS=$'\t' read -ra others <<<"${needs[$4]-}"
  stage "$1" "decode $3 by $4" "${others[@]:1}" -- \
    asrkit decode --run "$run" --data "$data" --set "$3" --search "$4" ${5:+--spec "$5"} \
    "${hearing[@]}"
  score_set "$2" "$3" "$4"
}

# score_set NUMBER SET SEARCH: scores what was decoded.
score_set() {
  local references
  lines_of references score_options "$2"
  stage "$1" "score $2 by $3" -- \
    asrkit score --run "$run" --set "$2" --search "$3" "${references[@]}"
}

# search_table DEV TEST...: stage 9 where there is --table. Tunes each of its searches on dev, which
# decodes that; decodes the other sets, scores all, counts search errors, and writes the results.
# Searches whose other models are missing are left out.
search_table() {
  local dev=$1 tests=("${@:2}") lines words name set spec places options=()
  if [[ ! $table ]] || ((first_stage > 9 || stop_stage < 9)); then return 0; fi
  places=("$run" --data "$data" --spec "$table")
  lines_of words python -m asrkit files searches "${places[@]}" --priors
  for name in "${words[@]}"; do
    stage 9 "label priors of $name" -- \
      asrkit prior --run "$run" --data "$data" --set train --head "$name" "${hearing[@]}"
  done
  lines_of lines python -m asrkit files searches "${places[@]}" --complete
  ((${#lines[@]})) || fail "no search of $table has all that it needs"
  for line in "${lines[@]}"; do
    IFS=$'\t' read -ra words <<<"$line" # name, and files of other models
    name=${words[0]} needs[${words[0]}]=${line#"${words[0]}"}
    options+=(--search "$name")
    stage 9 "tune $name on $dev" "${words[@]:1}" -- \
      asrkit tune --run "$run" --data "$data" --set "$dev" --search "$name" --spec "$table" \
      --decodes "$decodes" "${hearing[@]}"
    score_set 9 "$dev" "$name"
    lines_of spec python -m asrkit files run "$run" tuned --search "$name"
    for set in "${tests[@]}"; do
      search_set 9 9 "$set" "$name" "${spec[0]}"
      stage 9 "search errors of $name on $set" -- \
        asrkit search-errors --run "$run" --data "$data" --set "$set" --search "$name" \
        "${hearing[@]}"
    done
  done
  for set in "${tests[@]}"; do options+=(--test "$set"); done
  echo "== stage 9: table"
  asrkit table --run "$run" --dev "$dev" --spec "$table" "${options[@]}"
  show_results 9
}

# show_results NUMBER: writes and prints the table; never skipped, as it is the answer. Other runs
# that are in the file stay there. A run or data elsewhere are not the recipe's own: their results
# are written next to the run, in their own file, unless --results names another.
show_results() {
  local out=$results
  if (($1 < first_stage || $1 > stop_stage)); then return 0; fi
  if [[ ! ${results_given:-} ]] && { ! is_inside "$run" || ! is_inside "$data"; }; then
    out=$(dirname -- "$run")/RESULTS.md
  fi
  echo "== stage $1: results"
  python "$tools/results_table.py" --keep --out "$out" -- "$run"
}

# is_inside PATH: whether a path is in the recipe's folder, as it is written: links are not followed.
is_inside() { [[ $(realpath -ms -- "$1") == "$(realpath -ms .)"/* ]]; }

# as_yaml PATH: prints a path as it stands in YAML, where #, : and numbers mean other things.
as_yaml() {
  local quote="'"
  if [[ $1 =~ ^[[:alnum:]_./][[:alnum:]_./-]*$ && ($1 == */[[:alpha:]]* || $1 == [[:alpha:]]*.gz) ]]; then
    echo "$1"
  else
    echo "'${1//$quote/"$quote$quote"}'"
  fi
}

#!/usr/bin/env bash
# Switchboard: telephone conversations. From the corpus folder to a row in RESULTS.md.
#   run.sh --corpus DIR                           LDC97S62 and the test sets that are in DIR
#   run.sh --toy                                  the same stages on synthesised speech
# What DIR must hold, and how sets are made: see the top of prepare.py.
set -euo pipefail
unset CDPATH
cd -- "$(dirname -- "$0")"
source ../../tools/stages.sh
corpus=corpus data=data run='run/<spec>' conf=conf/conformer.yaml
units=1000
if is_toy "$@"; then
  corpus=toy/corpus data=toy/data run='toy/run/<spec>' conf=conf/toy.yaml units=60 results=toy/RESULTS.md
fi
parse_options "$@"
score_options() {
  if [[ -e $data/scoring/$1.stm ]]; then
    printf '%s\n' --stm "$data/scoring/$1.stm" --glm "$data/scoring/$1.glm"
  fi
}

if $toy; then
  stage 0 "make a toy corpus" -- \
    python ../../tools/make_toy_corpus.py --layout switchboard --out "$corpus"
fi
stage 0 "find the corpus" "$corpus" -- python prepare.py find --corpus "$corpus"
stage 0 "expand compressed audio" "$corpus" -- \
  python prepare.py expand --corpus "$corpus" --data "$data" --jobs "$jobs"
stage 1 "manifests" "$corpus" -- \
  python prepare.py manifests --corpus "$corpus" --data "$data" --jobs "$jobs" \
  "${manifest_options[@]}"
stage 2 "BPE" "$data/manifests/train.jsonl" -- \
  asrkit tokenizer bpe --data "$data" --set train --size "$units" --name bpe --force
stage 3 "check spec and utterances" "${specs[@]}" "$data/text/bpe.model" -- \
  asrkit check "$conf" --data "$data" "${overrides[@]}"
check_specs
language_model dev # stage 4. Features are computed while training: nothing to dump
stage 5 "train" "${specs[@]}" "$data/text/bpe.model" -- \
  "${trainer[@]}" train "$conf" --data "$data" --run "$run" "${overrides[@]}"
stage 6 "average checkpoints" "$run/checkpoints/index.json" -- asrkit average --run "$run" --best 10
internal_language_model
for set in dev hub5e_00 hub5e_01 rt03s; do
  if [[ -e $data/manifests/$set.jsonl ]]; then decode_and_score "$set"; fi # stages 7 and 8
done
show_results 8 "$results" "$run"
mapfile -t tests < <(sets_named hub5e; sets_named rt03)
search_table "$results" dev "${tests[@]}" # stage 9

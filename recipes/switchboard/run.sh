#!/usr/bin/env bash
# Switchboard: telephone conversations. From the corpus folder to a row in RESULTS.md.
#   run.sh --corpus DIR                           LDC97S62 and the test sets that are in DIR
#   run.sh --toy                                  the same stages on synthesised speech
# What DIR must hold, and how sets are made: see the top of prepare.py.
set -euo pipefail
cd "$(dirname "$0")"
source ../../tools/stages.sh
corpus=corpus data=data run='run/<spec>' conf=conf/conformer.yaml
units=1000 search=joint results=RESULTS.md
if is_toy "$@"; then
  corpus=toy data=toy/data run='toy/run/<spec>' conf=conf/toy.yaml units=60 results=toy/RESULTS.md
fi
parse_options "$@"

if $toy; then
  stage 0 "make a toy corpus" -- \
    python ../../tools/make_toy_corpus.py --layout switchboard --out toy
fi
stage 0 "find the corpus" "$corpus" -- python prepare.py find --corpus "$corpus"
stage 0 "expand compressed audio" "$corpus" -- \
  python prepare.py expand --corpus "$corpus" --data "$data" --jobs "$jobs"
stage 1 "manifests" "$corpus" -- \
  python prepare.py manifests --corpus "$corpus" --data "$data" --jobs "$jobs"
stage 2 "BPE" "$data/manifests/train.jsonl" -- \
  asrkit tokenizer bpe --data "$data" --set train --size "$units" --name bpe
stage 3 "check spec and utterances" "${specs[@]}" "$data/text/bpe.model" -- \
  asrkit check "$conf" --data "$data" "${overrides[@]}"
# Stage 4 is kept for language models. Features are computed while training: nothing to dump.
stage 5 "train" "${specs[@]}" "$data/text/bpe.model" -- \
  asrkit train "$conf" --data "$data" --run "$run" "${overrides[@]}"
stage 6 "average checkpoints" "$run/checkpoints/index.json" -- asrkit average --run "$run" --best 10
for set in dev hub5e_00 hub5e_01 rt03s; do
  manifest=$data/manifests/$set.jsonl
  [[ -e $manifest ]] || continue
  scored_by=()
  if [[ -e $data/scoring/$set.stm ]]; then
    scored_by=(--stm "$data/scoring/$set.stm" --glm "$data/scoring/$set.glm")
  fi
  stage 7 "decode $set" "$run/checkpoints/average.pt" "$manifest" -- \
    asrkit decode --run "$run" --data "$data" --set "$set" --search "$search"
  stage 8 "score $set" "$run/decode/$search/$set/nbest.jsonl" -- \
    asrkit score --run "$run" --set "$set" --search "$search" "${scored_by[@]}"
done
show_results 8 "$results" "$run"

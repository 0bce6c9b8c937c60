#!/usr/bin/env bash
# TED-LIUM release 2: 207 hours of TED talks. From the corpus folder to a row in RESULTS.md.
#   run.sh --corpus DIR                                     BPE of 1000 units
#   run.sh --corpus DIR --apostrophes split --data data/split --run run/split
#                                                           as RETURNN's published results count
#   run.sh --corpus DIR --lm conf/lm/transformer.yaml --lm-text DIR/TEDLIUM_release2/LM/*.gz \
#     --ilm conf/lm/mini_lstm_ilm.yaml --table conf/decode/table.yaml
#                                     with language models, and a table of searches
#   run.sh --toy                                            the same stages on synthesised speech
# DIR holds the folder TEDLIUM_release2; it is downloaded there if missing (35 GB).
# Word errors are those of NIST's sclite, or counted by its rules where it is not installed.
set -euo pipefail
unset CDPATH
cd -- "$(dirname -- "$0")"
source ../../tools/stages.sh
corpus=corpus data=data run='run/<spec>' conf=conf/base.yaml
apostrophes=joined units=1000
recipe_options=apostrophes
recipe_usage="  --apostrophes A   joined (it's) or split (it 's): how words are counted ($apostrophes)"
if is_toy "$@"; then
  corpus=toy data=toy/data run='toy/run/<spec>' conf=conf/toy.yaml units=60 results=toy/RESULTS.md
fi
parse_options "$@"
score_options() { printf '%s\n' --stm "$data/stm/$1.stm"; }

if $toy; then
  stage 0 "make a toy corpus" -- python ../../tools/make_toy_corpus.py --layout tedlium2 --out toy
fi
stage 0 "find or download the corpus" "$corpus/TEDLIUM_release2" -- \
  python prepare.py download --corpus "$corpus"
stage 1 "manifests and references" "$corpus/TEDLIUM_release2" -- \
  python prepare.py manifests --corpus "$corpus" --data "$data" --apostrophes "$apostrophes" \
  --jobs "$jobs" "${manifest_options[@]}"
stage 2 "BPE" "$data/manifests/train.jsonl" -- \
  asrkit tokenizer bpe --data "$data" --set train --size "$units" --name bpe --force
stage 3 "check spec and utterances" "${specs[@]}" "$data/text/bpe.model" -- \
  asrkit check "$conf" --data "$data" "${overrides[@]}"
check_specs
# Stage 4. Features are computed while training: nothing to dump.
language_model dev --corpus "$corpus" --apostrophes "$apostrophes"
stage 5 "train" "${specs[@]}" "$data/text/bpe.model" -- \
  "${trainer[@]}" train "$conf" --data "$data" --run "$run" "${overrides[@]}"
stage 6 "average checkpoints" "$run/checkpoints/index.json" -- asrkit average --run "$run" --best 10
internal_language_model
for set in dev test; do
  decode_and_score "$set" # stages 7 and 8
done
show_results 8 "$results" "$run"
search_table "$results" dev test # stage 9

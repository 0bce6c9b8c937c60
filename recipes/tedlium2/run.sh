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
corpus=corpus data=data run='run/<spec>' conf=conf/base.yaml apostrophes=joined units=1000
recipe_options=apostrophes
recipe_usage="  --apostrophes A   joined (it's) or split (it 's): how words are counted ($apostrophes)"
if is_toy "$@"; then
  corpus=toy data=toy/data run='toy/run/<spec>' conf=conf/toy.yaml units=60 results=toy/RESULTS.md
fi
parse_options "$@"
lm_text_options=(--corpus "$corpus" --apostrophes "$apostrophes")
score_options() { printf '%s\n' --stm "$data/stm/$1.stm"; }

toy_corpus tedlium2 toy
stage 0 "find or download the corpus" "$corpus/TEDLIUM_release2" -- \
  python prepare.py download --corpus "$corpus"
stage 1 "manifests and references" "$corpus/TEDLIUM_release2" -- \
  python prepare.py manifests --corpus "$corpus" --data "$data" --apostrophes "$apostrophes" \
  --jobs "$jobs" "${manifest_options[@]}"
standard_stages test

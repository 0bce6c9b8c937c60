#!/usr/bin/env bash
# Switchboard: telephone conversations. From the corpus folder to a row in RESULTS.md.
#   run.sh --corpus DIR                           LDC97S62 and the test sets that are in DIR
#   run.sh --corpus DIR --gmm conf/gmm/base.yaml --network conf/hybrid.yaml    a hybrid system
#   run.sh --toy                                  the same stages on synthesised speech
# What DIR must hold, and how sets are made: see the top of prepare.py.
set -euo pipefail
unset CDPATH
cd -- "$(dirname -- "$0")"
source ../../tools/stages.sh
corpus=corpus data=data run='run/<spec>' conf=conf/conformer.yaml units=1000
if is_toy "$@"; then
  corpus=toy/corpus data=toy/data run='toy/run/<spec>' conf=conf/toy.yaml units=60 results=toy/RESULTS.md
fi
parse_options "$@"
score_options() {
  if [[ -e $data/scoring/$1.stm ]]; then
    printf '%s\n' --stm "$data/scoring/$1.stm" --glm "$data/scoring/$1.glm"
  fi
}

toy_corpus switchboard "$corpus"
stage 0 "find the corpus" "$corpus" -- python prepare.py find --corpus "$corpus"
stage 0 "expand compressed audio" "$corpus" -- \
  python prepare.py expand --corpus "$corpus" --data "$data" --jobs "$jobs"
stage 1 "manifests" "$corpus" -- \
  python prepare.py manifests --corpus "$corpus" --data "$data" --jobs "$jobs" \
  "${manifest_options[@]}"
if [[ $gmm ]]; then hybrid_stages hub5e rt03; else standard_stages hub5e rt03; fi

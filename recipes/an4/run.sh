#!/usr/bin/env bash
# AN4: 42 minutes of commands and spelled words. From the corpus folder to a row in RESULTS.md.
#   run.sh --corpus /path/to/an4          the real corpus
#   run.sh --conf conf/all.yaml --sets test
#                                         the same with the dev set's speakers in training
#   run.sh --conf conf/rna.yaml --search transducer joint
#                                         a transducer on the encoder of conformer.yaml; also rnnt.yaml
#   run.sh --lm conf/lm/lstm.yaml --ilm conf/lm/mini_lstm_ilm.yaml --table conf/decode/table.yaml
#                                         with language models, and a table of searches
#   run.sh --gmm conf/gmm/base.yaml --ngram 2
#                                         a hybrid system of Gaussian mixtures, with AN4's dictionary
#   run.sh --toy                          the same stages on synthesised speech, in minutes
# A second stage of rna.yaml on its best paths: see the top of conf/rna_stage2.yaml.
set -euo pipefail
unset CDPATH
cd -- "$(dirname -- "$0")"
source ../../tools/stages.sh
corpus=corpus/an4 data=data run='run/<spec>' conf=conf/conformer.yaml units=120
if is_toy "$@"; then
  corpus=toy/an4 data=toy/data run='toy/run/<spec>' conf=conf/toy.yaml units=60 results=toy/RESULTS.md
  lexicon=graphemes
fi
parse_options "$@"
if ! $toy && [[ $lexicon == cmudict ]]; then lexicon=$corpus/etc/an4.dic; fi

toy_corpus an4 toy
stage 0 "find or download the corpus" "$corpus" -- python prepare.py download --corpus "$corpus"
stage 1 "manifests" "$corpus" -- \
  python prepare.py manifests --corpus "$corpus" --data "$data" --jobs "$jobs" \
  "${manifest_options[@]}"
if [[ $gmm ]]; then hybrid_stages test; else standard_stages test; fi

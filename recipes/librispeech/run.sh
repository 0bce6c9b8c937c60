#!/usr/bin/env bash
# LibriSpeech: read English books. From the corpus folder to a row in RESULTS.md.
#   run.sh --corpus DIR --conf conf/mini.yaml     train-clean-5 (OpenSLR 31): 5 hours
#   run.sh --corpus DIR --conf conf/100h.yaml     train-clean-100
#   run.sh --corpus DIR --conf conf/960h.yaml     everything; conf/aed.yaml: as RETURNN does
#   run.sh --corpus DIR --lm conf/lm/mini.yaml --lm-text books.txt.xz \
#     --ilm conf/lm/mini_lstm_ilm.yaml --table conf/decode/table.yaml    with language models
#   run.sh --corpus DIR --gmm conf/gmm/mini.yaml --network conf/hybrid-mini.yaml \
#     --lm conf/lm/books.yaml --lm-text books.txt.xz --ngram 4 --entropy 1e-7   a hybrid system
#   run.sh --toy                                  the same stages on synthesised speech
# DIR holds the folder LibriSpeech; missing parts are downloaded there.
set -euo pipefail
unset CDPATH
cd -- "$(dirname -- "$0")"
source ../../tools/stages.sh
corpus=corpus data='data/<parts>' run='run/<spec>' conf=conf/mini.yaml parts=''
recipe_options=parts
recipe_usage="  --parts NAME      mini, 100h or 960h: what to train on (inferred from the spec's name)"
if is_toy "$@"; then
  corpus=toy data=toy/data run='toy/run/<spec>' conf=conf/toy.yaml parts=mini results=toy/RESULTS.md
  lm=conf/lm/toy.yaml ngram=3 lm_text=(toy/LibriSpeech/lm-text.txt.gz) table=conf/decode/toy.yaml
  ilm=conf/lm/mini_lstm_ilm_toy.yaml decodes=1 speeds=(1.1) entropy=1e-4 states=80
fi
parse_options "$@"
case ${parts:-$(basename "${gmm:-$conf}")} in
  960h*) parts=960h units=5000 ;; aed*) parts=960h units=10024 ;;
  100h*) parts=100h units=1000 ;;
  mini* | second* | toy*) parts=mini units=300 ;;
  *) fail "which parts of the corpus does $conf train on? add --parts mini, 100h or 960h" ;;
esac
data=${data/<parts>/"$parts"}
if $toy; then units=60 lm_units=80; fi

toy_corpus librispeech toy
stage 0 "find or download the corpus" "$corpus/LibriSpeech" -- \
  python prepare.py download --corpus "$corpus" --size "$parts"
stage 1 "manifests" "$corpus/LibriSpeech" -- \
  python prepare.py manifests --corpus "$corpus" --size "$parts" --data "$data" --jobs "$jobs" \
  "${manifest_options[@]}"
if [[ $gmm ]]; then hybrid_stages test; else standard_stages test; fi

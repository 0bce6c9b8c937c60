#!/usr/bin/env bash
# LibriSpeech: read English books. From the corpus folder to a row in RESULTS.md.
#   ./run.sh --corpus DIR --conf conf/mini.yaml     train-clean-5 (OpenSLR 31): 5 hours
#   ./run.sh --corpus DIR --conf conf/100h.yaml     train-clean-100
#   ./run.sh --corpus DIR --conf conf/960h.yaml     everything
#   ./run.sh --toy                                  the same stages on synthesised speech
# DIR holds the folder LibriSpeech; missing parts are downloaded there.
set -euo pipefail
cd "$(dirname "$0")"
corpus=corpus conf=conf/mini.yaml data='' run='' search=joint results=RESULTS.md
source ../../tools/stages.sh
parse_options "$@"
size=$(basename "$conf" .yaml)
case $size in 960h) units=5000 ;; 100h) units=1000 ;; *) units=300 size=mini ;; esac
data=${data:-data/$size} run=${run:-run/$(basename "$conf" .yaml)}
if $toy; then
  corpus=toy data=toy/data run=toy/run conf=conf/toy.yaml units=60 results=toy/RESULTS.md
  stage 0 "make a toy corpus" -- \
    python ../../tools/make_toy_corpus.py --layout librispeech --out toy
fi

stage 0 "find or download the corpus" -- \
  python prepare.py download --corpus "$corpus" --size "$size"
stage 1 "manifests" "$corpus/LibriSpeech" -- \
  python prepare.py manifests --corpus "$corpus" --size "$size" --data "$data" --jobs "$jobs"
stage 2 "BPE" "$data/manifests/train.jsonl" -- \
  asrkit tokenizer bpe --data "$data" --set train --size "$units" --name bpe
stage 3 "check spec and utterances" "$conf" "$data/text/bpe.model" -- \
  asrkit check "$conf" --data "$data" "${overrides[@]}"
# Stage 4 is kept for language models. Features are computed while training: nothing to dump.
stage 5 "train" "$conf" "$data/text/bpe.model" -- \
  asrkit train "$conf" --data "$data" --run "$run" "${overrides[@]}"
stage 6 "average checkpoints" "$run/checkpoints/index.json" -- asrkit average --run "$run" --best 10
for manifest in "$data"/manifests/{dev,test}*.jsonl; do
  [[ -e $manifest ]] || continue
  set=$(basename "$manifest" .jsonl)
  stage 7 "decode $set" "$run/checkpoints/average.pt" -- \
    asrkit decode --run "$run" --data "$data" --set "$set" --search "$search"
  stage 8 "score $set" "$run/decode/$search/$set/nbest.jsonl" -- \
    asrkit score --run "$run" --set "$set" --search "$search"
done
stage 8 "results" -- python ../../tools/results_table.py --out "$results" "$run"

# The stages of a hybrid system, where run.sh has --gmm: Gaussian mixtures, from monophones to
# speaker-adaptive training, and a network that learns their alignments. Sourced by stages.sh.
# Stages 0 to 3 are those of all systems, and the others mean the same: 4 models of words,
# 5 training, 6 what is made of it, 9 tuned searches and results.
# shellcheck shell=bash
# shellcheck disable=SC2154 # options are set by stages.sh

# hybrid_stages TEST...: stages 2 to 9 of a hybrid system; that of the network only with --network.
hybrid_stages() {
  local devs=() tests=() name
  stage 2 "BPE" -- \
    asrkit tokenizer bpe --data "$data" --set train --size "$units" --name bpe --force
  if [[ $network ]]; then stage 3 "check $network" -- asrkit check "$network"; fi
  if ((stop_stage < 4)); then return 0; fi
  lines_of devs python -m asrkit files sets "$data" dev
  lines_of tests python -m asrkit files sets "$data" "$@"
  word_models "${devs[-1]}"
  neural_model "${devs[-1]}"
  run=$gmm_run stage 5 "Gaussian mixtures" -- \
    asrkit gmm "$gmm" --data "$data" --run "$gmm_run" --jobs "$jobs" "${overrides[@]}"
  for name in mono tri lda_mllt; do unadapted "$gmm_run/$name" "${devs[-1]}" "${tests[@]}"; done
  adapted "$gmm_run/sat" "${devs[-1]}" "${tests[@]}"
  if [[ $network ]]; then network_on "$gmm_run/sat" "${devs[-1]}" "${tests[@]}"; fi
}

# word_models DEV: stage 4. How words are pronounced, and an n-gram model of them.
word_models() {
  local texts=()
  if ((${#lm_text[@]})); then
    texts=(--text "$data/text/words.txt.gz")
    run=$data stage 4 "text of the language model" "${lm_text[@]}" -- \
      python prepare.py text "${lm_text[@]}" --out "${texts[1]}" "${lm_text_options[@]}"
  fi
  run=$data stage 4 "lexicon" -- \
    asrkit lexicon --data "$data" --set train "${texts[@]}" --from "$lexicon" --name words --g2p
  run=$data stage 4 "n-gram model of words" -- \
    asrkit ngram --data "$data" --set train "${texts[@]}" --order "$ngram" --units words \
    --name words --dev "$1"
}

# neural_model DEV: stage 4 where there is --lm. A neural language model on the same text, over units
# of its own if its spec says so. Its run has one name, by which searches find it.
neural_model() {
  local changes=('data.files=[]') texts=()
  [[ $lm ]] || return 0
  lm_run=$(dirname -- "$run")/lm-words
  if ((${#lm_text[@]})); then
    changes=('data.files=[words.txt.gz]') texts=(--text "$data/text/words.txt.gz" --lines 100000)
  fi
  run=$data stage 4 "units of the language model" -- \
    asrkit tokenizer bpe --data "$data" --set train "${texts[@]}" --size "$lm_units" --name lm --force
  run=$lm_run stage 4 "neural language model" -- \
    "${trainer[@]}" train "$lm" --data "$data" --run "$lm_run" "${changes[@]}"
  run=$lm_run stage 4 "its last checkpoint" -- asrkit average --run "$lm_run" --best 1
  run=$lm_run stage 4 "perplexity on $1" -- \
    asrkit perplexity --run "$lm_run" --data "$data" --set "$1" --arpa "$data/lm/words.arpa.gz"
}

# unadapted RUN DEV TEST...: stages 6 to 9 of mixtures that take speakers as they are.
unadapted() {
  local run=$1 set
  shift
  word_graph
  for set in "$@"; do features_of "$set" none; done
  tuned_words "$run/data" words "$word_searches" "$@"
}

# adapted RUN DEV TEST...: the same, where the words of a first pass say how to adapt to speakers.
adapted() {
  local run=$1 set
  shift
  word_graph
  for set in "$@"; do features_of "$set" none; done
  tuned_words "$run/data" first "$first_searches" "${@/%/-first}"
  for set in "$@"; do features_of "$set" first; done
  tuned_words "$run/data" words "$word_searches" "$@"
}

# tuned_words FEATURES SEARCH SPEC DEV TEST...: stages 7 to 9. Tunes a search on dev, which decodes
# it, and decodes the other sets with the same weights; all are scored. If the graph lacks n-grams,
# what was found is then put in the order of the whole n-gram model; and with --lm, in that of both
# language models.
tuned_words() {
  local data=$1 search=$2 spec=$3
  shift 3
  tuned_search "$search" "$spec" "$decodes" "$@"
  if [[ $search == words && $entropy != 0 ]]; then tuned_search rescored "$spec" 1 "$@"; fi
  if [[ $search == words && $lm ]]; then tuned_search neural "$spec" 1 "$@"; fi
  show_results 9
}

# tuned_search SEARCH SPEC DECODES DEV TEST...: stages 7 and 8 of one search.
tuned_search() {
  local search=$1 spec=$2 decodes=$3 dev=$4 set tuned graph=$run/graph/words.safetensors
  shift 3
  stage 7 "tune $search on $dev for $run" "$graph" -- \
    asrkit tune --run "$run" --data "$data" --set "$dev" --search "$search" --spec "$spec" \
    --decodes "$decodes"
  lines_of tuned python -m asrkit files run "$run" tuned --search "$search"
  for set in "$@"; do
    if [[ $set != "$dev" ]]; then
      stage 7 "decode $set by $search for $run" "$graph" -- \
        asrkit decode --run "$run" --data "$data" --set "$set" --search "$search" \
        --spec "${tuned[0]}"
    fi
    score_set 8 "$set" "$search"
  done
}

# word_graph: stage 6 of a run with tied states.
word_graph() {
  stage 6 "graph of words for $run" -- \
    asrkit graph --run "$run" --data "$data" --arpa words --name words --lexicon words \
    --entropy "$entropy"
}

# features_of SET ADAPT [SPEED]: stage 6, the features of a set as the mixtures of a run hear them.
features_of() {
  stage 6 "features of $1 for $run${3:+, speed $3}, adapted to: $2" -- \
    asrkit features --run "$run" --data "$data" --set "$1" --adapt "$2" ${3:+--speed "$3"} \
    --lexicon words --jobs "$jobs"
}

# network_on MIXTURES DEV TEST...: stages 5 to 9 of a network that learns alignments of mixtures, and
# hears their features or the audio. Its head is named for what it learns: states, phones, or, of
# lattice-free MMI, the chain of both.
network_on() {
  local mixtures=$1 dev=$2 set speed heard=() heads=() from=$data learnt=(train)
  local searches=$network_searches learns=$1
  shift
  lines_of heads python -m asrkit files heads "$network"
  case ${heads[0]} in
    phones) searches=conf/decode/ctc-phones.yaml ;;
    chain) searches=conf/decode/lfmmi.yaml learns=$chain_run ;;
  esac
  lines_of heard python -m asrkit files hears "$network"
  run=$mixtures features_of train reference
  if [[ ${heard[0]} == features ]]; then
    from=$mixtures/data
    for speed in "${speeds[@]}"; do
      run=$mixtures features_of train reference "$speed"
      learnt+=("train-sp$speed")
    done
  fi
  for set in "${learnt[@]}" "$dev"; do
    run=$mixtures stage 6 "alignments of $set" -- \
      asrkit align --run "$mixtures" --data "$mixtures/data" --set "$set" --head states \
      --lexicon "$data/lexicon/words.txt"
  done
  if [[ $learns == "$chain_run" ]]; then chain_of "$mixtures" "$dev" "${learnt[@]}"; fi
  stage 5 "train" -- "${trainer[@]}" train "$network" --data "$from" --run "$run" \
    "data.alignments=$(as_yaml "$learns")" "${overrides[@]}"
  # One alone: in a few epochs, those before the last are far behind.
  stage 6 "average checkpoints" -- asrkit average --run "$run" --best 1
  if [[ ${heads[0]} != chain ]]; then
    stage 6 "priors of ${heads[0]}" -- \
      asrkit prior --run "$run" --data "$from" --set train --head "${heads[0]}"
  fi
  word_graph
  tuned_words "$from" words "$searches" "$@"
}

# chain_of MIXTURES DEV TRAIN...: stage 6, tied states and a phone n-gram of the same alignments, which
# networks of lattice-free MMI learn from.
chain_of() {
  local mixtures=$1 dev=$2 sets=() set
  shift 2
  for set in "$@"; do sets+=(--set "$set"); done
  run=$chain_run stage 6 "tied states and phones for lattice-free MMI" -- \
    asrkit chain --run "$chain_run" --data "$mixtures/data" --alignments "$mixtures" \
    "${sets[@]}" --dev "$dev" --states "$states"
}

"""Hidden Markov models of phones: lexicon, topology, tied states, Gaussian mixtures, alignment."""

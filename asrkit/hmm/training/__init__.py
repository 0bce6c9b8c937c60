"""Training of Gaussian mixtures in stages, from states of equal lengths to adapted triphones."""

"""Weighted finite-state transducers: grammars, lexica, and the decoding graphs made of them."""

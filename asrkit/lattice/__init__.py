"""Lattices: which alignments there are, and sums and maxima over them."""

"""Losses, as sums over utterances, labels or frames."""

"""Searches: from scores to the best label sequences."""

"""RESULTS.md and tables of searches, made from run folders."""

"""Scoring as NIST does it: STM, CTM and GLM files, sclite, hubscr and their counts."""

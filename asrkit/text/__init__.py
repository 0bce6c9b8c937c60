"""Vocabularies, tokenizers and text normalisation."""

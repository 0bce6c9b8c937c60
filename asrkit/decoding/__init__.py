"""Searches and the scorers they combine."""

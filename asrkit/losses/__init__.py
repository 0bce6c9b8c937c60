"""Losses as sums over what they count."""

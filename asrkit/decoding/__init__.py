"""Decodes sets: batches to n-best lists, written as they come."""

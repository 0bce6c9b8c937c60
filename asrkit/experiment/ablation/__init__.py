"""Ablation studies: one change at a time to a base, trained, decoded and compared."""

"""Checkpoints of other toolkits: what their tensors are called here, and which spec they are of."""

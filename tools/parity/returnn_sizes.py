"""Sizes of the small RETURNN models, and how much their labels are smoothed."""

MELS, DIM, HIDDEN, LAYERS, HEADS, KERNEL, CLIP = 12, 12, 16, 2, 2, 8, 3
EMBEDDING, STATE, KEY, READOUT = 10, 8, 6, 12
CHANNELS = (3, 4, 4)
SMOOTHING = 0.1

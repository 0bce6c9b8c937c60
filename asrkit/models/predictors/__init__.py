"""Prediction networks of transducers: what the labels so far say, without the frames."""

"""Training outputs: each head has one loss and its scorers."""

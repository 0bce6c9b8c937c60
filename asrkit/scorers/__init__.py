"""What scores labels and frames in search."""

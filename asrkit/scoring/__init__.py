"""Word errors, their uncertainty, and result tables."""

"""Error rates and their uncertainty."""

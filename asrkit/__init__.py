"""The asrkit toolkit: speech recognisers described in YAML, trained from scratch."""

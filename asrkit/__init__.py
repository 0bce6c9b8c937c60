"""The asrkit toolkit: speech recognisers described in YAML, trained from scratch."""

from asrkit.threads import wait_passively

wait_passively()  # before anything loads PyTorch

"""ESPnet2: from its config.yaml to a spec, and the rules that rename its tensors."""

"""From YAML to objects: registries, checked building, loading."""

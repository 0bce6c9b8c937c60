"""Work that runs in processes of its own: on this machine, or as jobs of a cluster."""

"""From corpus folders to padded minibatches."""

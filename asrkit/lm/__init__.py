"""N-gram language models: estimation, ARPA files, scores of next labels."""

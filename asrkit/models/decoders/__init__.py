"""Label decoders with teacher forcing and step-wise scoring."""

"""Training of the detector and the attribute network (extra `train`). Nothing in the inference half imports this."""

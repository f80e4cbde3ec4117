"""The same networks with gradients, for training (extra `train`)."""

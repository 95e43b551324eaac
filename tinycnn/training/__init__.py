"""Training: the loop, its callbacks, its data, evaluation."""

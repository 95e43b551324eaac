"""Training runs: a folder each, with all that is needed to go on with it or to measure it."""

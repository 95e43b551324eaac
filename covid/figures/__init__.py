"""Every figure, from arrays to a file."""

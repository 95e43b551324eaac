"""What else could explain a good score."""

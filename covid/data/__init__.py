"""From image files to cached pixels: what is there, whose it is, and what it looks like."""

"""The networks: the paper's, and those it is compared with."""

"""covid: a 2020 paper on chest X-rays rebuilt with tinycnn, and what its result is worth. Not for clinical use."""

from covid.models.paper import paper_network

__all__ = ["paper_network"]

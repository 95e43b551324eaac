"""The version, which a release changes here and in CHANGELOG.md and CITATION.cff."""

__version__ = "0.1.0"

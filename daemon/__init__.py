"""The bitsd service process. Imports nothing: another package of this name may be installed (docs/architecture.md)."""

__version__ = "0.1.0"

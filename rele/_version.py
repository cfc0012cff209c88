"""The version of Relé: the one place that states it."""

__version__ = "2.0.0"

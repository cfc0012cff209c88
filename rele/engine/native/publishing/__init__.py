"""Relé's own publisher."""

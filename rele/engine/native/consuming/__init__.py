"""Relé's own consumer."""

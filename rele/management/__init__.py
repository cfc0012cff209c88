"""Relé in a Django project: its commands, and what these and Relé's Django apps have in common."""

"""What the settings in ``RELE`` may be, and what is wrong with them, as data."""

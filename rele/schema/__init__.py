"""What each setting in ``RELE`` may be, and what is wrong with a project, as data."""

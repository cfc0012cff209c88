"""What a running server has: the report, and how to ask for it."""

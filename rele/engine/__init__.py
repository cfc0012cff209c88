"""How messages are sent and consumed."""

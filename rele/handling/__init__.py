"""Handling one received message: its handler is called, and the message is settled."""

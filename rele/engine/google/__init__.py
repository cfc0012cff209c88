"""Messages are moved by Google's high-level client."""

"""Publishing messages: the hooks around each, and the publishes that are outstanding."""

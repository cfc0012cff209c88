"""One published message: the hooks around it, and what is outstanding."""

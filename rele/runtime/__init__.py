"""What belongs to the process: requests to stop it, and what it remembers."""

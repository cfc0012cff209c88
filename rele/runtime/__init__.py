"""The state of the process: requests to stop it, and the objects that it has in use."""

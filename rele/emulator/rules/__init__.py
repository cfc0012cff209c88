"""What the service documents, as checks that raise."""

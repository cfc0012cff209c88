"""What a message is: what Pub/Sub takes as one, and the way from data to bytes and back."""

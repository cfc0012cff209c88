"""What a message is: what Pub/Sub accepts as one, and how data becomes its payload."""

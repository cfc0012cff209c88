"""What a project declares: subscriptions, their handlers, and what each may state."""

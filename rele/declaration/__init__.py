"""What a project declares: its subscriptions, their handlers, filters and options."""

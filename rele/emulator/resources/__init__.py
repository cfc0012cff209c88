"""Topics, subscriptions and snapshots: their configurations, and which of them exist."""

"""Where topics, subscriptions and messages are kept beyond the life of the process.

``journal`` is what the rest of the server knows: what it reports, and what it waits for. By
itself it keeps nothing. ``durable`` keeps it in SQLite.
"""

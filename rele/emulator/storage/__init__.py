"""Where topics, subscriptions and messages are kept beyond the life of the process.

``durable`` implements with SQLite what the rest of the server reports to: ``resources.journal`` and
``delivery.ledger``.
"""

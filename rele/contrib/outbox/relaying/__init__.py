"""The relay: it sends what waits in the outbox."""

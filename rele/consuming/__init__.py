"""What a worker does: planned before it starts, and ended in order when it stops."""

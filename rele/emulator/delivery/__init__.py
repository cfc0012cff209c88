"""Which message is delivered to whom, and when again: a pure core with a clock as a parameter."""

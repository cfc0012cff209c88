"""Which message is delivered to which consumer, and when it is redelivered.

A pure core: the clock is a parameter, and there is no I/O.
"""

"""What a process does now: one typed snapshot, which all that shows it reads.

Whoever knows a part of it registers a provider: see :mod:`rele.status.providers`.
"""

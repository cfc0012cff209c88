"""A page in Django's admin: every subscription, who consumes it, how fast, and what fails.

Add ``"rele.contrib.admin"`` to INSTALLED_APPS, and migrate. Each worker then reports to its tables.
"""

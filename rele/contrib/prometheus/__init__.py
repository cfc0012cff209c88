"""Metrics for Prometheus: see :class:`rele.contrib.PrometheusMiddleware`."""

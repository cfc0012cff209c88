"""Benchmarks: whole processes side by side. ``RESULTS.md`` has their figures.

``make bench`` (some 20 minutes) measures publishing and consuming, and fails where a published
or consumed message costs more instructions than ``RESULTS.md`` says:

* ``python -m benchmarks.publishing``: beside Google's client, rele 1.x and the bare stub
* ``python -m benchmarks.consuming``: beside Google's client, rele 1.x, repid and the bare stubs
* ``python -m benchmarks.instructions``: instructions a message, by valgrind, with the limit

The others are run by themselves:

* ``python -m benchmarks.check_cost``: what Relé adds to ``manage.py check``
* ``python -m benchmarks.emulator``: the embedded server beside Google's emulator
* ``python -m benchmarks.inbox``: what ``@idempotent`` costs
* ``python -m benchmarks.metrics``: what ``PrometheusMiddleware`` costs a message
* ``python -m benchmarks.outbox_publish``, ``outbox_relay``, ``outbox_latency``: the outbox
* ``python -m benchmarks.setup_time``: how long a worker takes to set up on a distant server
* ``python -m benchmarks.tracing``: what ``OpenTelemetryMiddleware`` costs a message
"""

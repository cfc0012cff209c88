"""The engine's core and the embedded server's core, together, in virtual time.

Both decide without a clock, a thread or a socket, so one thread can run servers, workers, handlers,
deploys and everything that goes wrong between them, an hour in some milliseconds. A seed determines
all of it:

    python -m tests.simulation SEED

Handlers run in threads, get batches, or are tasks in an event loop (``--handlers``).

``scenario.py`` makes a scenario of a seed, ``world.py`` plays it, and ``tests/support/history.py``
checks what happened. ``server.py`` and ``worker.py`` are what ``rele/emulator/rpc`` and
``rele/engine/native/consuming/consumer.py`` are elsewhere: thin drivers of the cores.
"""

"""What PostgreSQL does for the statements of a relay."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.outbox_processes import SETTINGS

_SHOW = """
import django
django.setup()
from concurrent.futures import Future
from django.db import connection
from rele.backends import BaseBackend
from rele.contrib.outbox.conf import OutboxSettings
from rele.contrib.outbox.relaying.relay import OutboxRelay

TABLE = "rele_outbox_outboxmessage"
STATEMENTS = 40

class Accepting(BaseBackend):
    def __init__(self):
        pass
    def send(self, messages):
        futures = [Future() for _ in messages]
        for future in futures:
            future.set_result("1")
        return futures

shown = set()

def explain(execute, sql, params, many, context):
    global left
    verb = sql.split()[0]
    if TABLE in sql and sql not in shown:
        shown.add(sql)
        with connection.connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, BUFFERS) " + sql, params)
            lines = [line for line, in cursor]
            cursor.execute("ROLLBACK")
        print(verb)
        for line in lines:
            print("    " + (line if len(line) < 160 else line[:157] + "..."))
    left -= TABLE in sql
    if not left:
        relay.stop()
    return execute(sql, params, many, context)

for keep_sent in (False, True):
    print("KEEP_SENT" if keep_sent else "without KEEP_SENT")
    left = STATEMENTS
    relay = OutboxRelay("default", OutboxSettings(keep_sent=keep_sent), Accepting())
    with connection.execute_wrapper(explain):
        relay.run_once()
"""


def plans(url: str) -> str:
    """Those of the first statements of a relay, each once; what it relays is accepted at once."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": SETTINGS, "DATABASE_URL": url}
    shown = subprocess.run(
        [sys.executable, "-c", _SHOW],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    return shown.stdout

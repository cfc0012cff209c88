"""What PostgreSQL does for the statements of a relay."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.outbox_processes import SETTINGS

_SHOW = """
import django
django.setup()
from django.db import connection, transaction
from rele.contrib.outbox.relaying import claiming
from rele.contrib.outbox.conf import OutboxSettings
from rele.contrib.outbox.relaying.relay import BATCH_SIZE, OutboxRelay

def show(work):
    explained = []
    def explain(execute, sql, params, many, context):
        with connection.connection.cursor() as cursor:
            cursor.execute("SAVEPOINT explain")
            cursor.execute("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, BUFFERS) " + sql, params)
            explained.append((sql.split()[0], [line for line, in cursor]))
            cursor.execute("ROLLBACK TO explain")
        return execute(sql, params, many, context)
    with connection.execute_wrapper(explain):
        result = work()
    for verb, lines in explained:
        print(verb)
        for line in lines:
            print("    " + (line if len(line) < 160 else line[:157] + "..."))
    return result

with transaction.atomic():
    messages = show(lambda: claiming.claim("default", BATCH_SIZE))
    for keep_sent in (False, True):
        relay = OutboxRelay("default", OutboxSettings(keep_sent=keep_sent), None)
        savepoint = transaction.savepoint()
        show(lambda: relay._settle_sent(messages))
        transaction.savepoint_rollback(savepoint)
"""


def plans(url: str) -> str:
    """Those of a claim, and of settling it, without and with KEEP_SENT; nothing is changed."""
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

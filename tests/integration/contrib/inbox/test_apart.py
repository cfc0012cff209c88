from __future__ import annotations

import subprocess
import sys

PROJECT = """
import sys
import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=["rele.contrib.inbox"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    USE_TZ=True,
)

django.setup()

from django.core.management import call_command
from rele import Subscription
from rele.contrib.inbox import idempotent
from rele.testing import deliver

call_command("migrate", verbosity=0)
orders = Subscription(idempotent(lambda data, **attributes: print(data)), "orders")
for data in ("first", "again"):
    deliver(orders, data, event_id="1")
print("outbox:", "rele.contrib.outbox" in sys.modules)
"""


def test_it_works_without_the_outbox() -> None:
    completed = subprocess.run(
        # google-api-core says on the oldest Python it supports that this is the oldest.
        [
            sys.executable,
            "-W",
            "error",
            "-W",
            "ignore:You are using a:FutureWarning",
            "-c",
            PROJECT,
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (completed.stdout, completed.stderr) == ("first\noutbox: False\n", "")

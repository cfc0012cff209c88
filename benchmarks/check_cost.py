"""What Relé adds to ``manage.py check``: ``python -m benchmarks.check_cost``."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from benchmarks.whole_processes import interleaved_medians

ROUNDS = 10

WITHOUT = """
from testproject.settings import *
INSTALLED_APPS = [app for app in INSTALLED_APPS if app != "rele"]
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "settings_without_rele.py").write_text(WITHOUT)
        environments = [
            {
                **os.environ,
                "PYTHONPATH": os.pathsep.join([folder, str(Path.cwd())]),
                "DJANGO_SETTINGS_MODULE": module,
            }
            for module in ("testproject.settings", "settings_without_rele")
        ]
        command = [sys.executable, "manage.py", "check"]
        with_rele, without = interleaved_medians(command, environments, ROUNDS)
    print(
        f"manage.py check, median of {ROUNDS}: {with_rele * 1000:.0f} ms CPU with Relé, "
        f"{without * 1000:.0f} ms without, {(with_rele - without) * 1000:.0f} ms more"
    )


if __name__ == "__main__":
    main()

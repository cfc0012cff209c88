"""The demo's child processes."""

import os
import signal

from testproject import demo

STUBBORN = """
import signal

signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open("ready", "w"):
    pass
signal.pause()
"""


def test_a_child_that_does_not_end_is_killed_with_a_message(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(demo, "BASE_DIR", tmp_path)
    (tmp_path / "manage.py").write_text(STUBBORN)
    os.mkfifo(tmp_path / "ready")
    child = demo.Child("stubborn", environment=dict(os.environ))
    (tmp_path / "ready").read_text()

    child.terminate()
    child.wait(0.1)

    assert child.status == -signal.SIGKILL
    assert "stubborn did not stop within 30 s and is killed." in capsys.readouterr().out


def test_a_child_that_fails_is_reported_with_the_end_of_its_output():
    child = demo.Child("curious", "no-such-command", environment=dict(os.environ))
    child.wait(30)

    report = child.report()

    assert report.startswith("curious ended with status 1:\n")
    assert "Unknown command: 'no-such-command'" in report

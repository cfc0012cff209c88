"""One trace from a request to the last handler that follows from it, through all of Relé."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]

UPLOADED, PROCESSED = "photo-uploaded", "photo-processed"
THUMBNAIL, ACTIVITY = "gallery-photo-uploaded", "gallery-photo-processed-activity"


@pytest.fixture
def spans(embedded_server: str, project_id: str, tmp_path: Path) -> dict[str, dict[str, Any]]:
    """What a gallery has recorded of an upload, by name; each name stands once."""
    completed = subprocess.run(
        [sys.executable, "-m", "tests.support.traced_gallery"],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "PUBSUB_EMULATOR_HOST": embedded_server,
            "GC_PROJECT_ID": project_id,
            "DATABASE_URL": f"sqlite:///{tmp_path / 'gallery.sqlite3'}",
            "MEDIA_ROOT": str(tmp_path / "media"),
            "DEBUG": "true",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr
    found = json.loads(completed.stdout)
    found = [span for span in found if not span["name"].startswith("modack ")]  # as time goes by
    named = {span["name"]: span for span in found}
    assert sorted(named) == sorted(span["name"] for span in found), "each once"
    return named


def test_a_request_and_all_that_follows_are_one_trace(spans: dict[str, dict[str, Any]]) -> None:
    """Through outbox, relay, Pub/Sub, handler and inbox to the next message and its handler."""
    request = spans["POST /"]
    assert {span["trace"] for span in spans.values()} == {request["trace"]}

    cause = request["id"]
    for topic, subscription in ((UPLOADED, THUMBNAIL), (PROCESSED, ACTIVITY)):
        created, process = spans[f"create {topic}"], spans[f"process {subscription}"]
        assert (created["kind"], created["parent"]) == ("PRODUCER", cause)
        for name, kind in ((f"send {topic}", "CLIENT"), (f"receive {subscription}", "CLIENT")):
            assert spans[name]["kind"] == kind
            assert (spans[name]["parent"], spans[name]["links"]) == (created["id"], [created["id"]])
        assert process["kind"] == "CONSUMER"
        assert (process["parent"], process["links"]) == (created["id"], [created["id"]])
        ack = spans[f"ack {subscription}"]
        assert ack["kind"] == "CLIENT"
        assert (ack["parent"], ack["links"]) == (process["id"], [process["id"]])
        cause = process["id"]

"""What is shown of a subscription."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rele import Subscription
from rele.config import Config
from rele.project.overview import describe, stated_fields


def read_backwards(payload: bytes) -> bytes:
    return payload[::-1]


@pytest.mark.parametrize(
    ("codec", "shown"), [("bytes", "bytes"), (read_backwards, f"{__name__}.read_backwards")]
)
def test_a_codec_is_shown_by_its_name(codec: Any, shown: str) -> None:
    row = describe(Subscription(print, "photos", codec=codec), Config({}))

    assert json.loads(json.dumps(row))["codec"] == shown
    assert ("Codec", shown) in stated_fields(row)

"""Requests as bytes."""

from __future__ import annotations

import pytest

from rele.emulator.rpc.requests import parse_request
from rele.emulator.rules.refusals import InvalidArgumentError


def test_bytes_that_are_no_request_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"not a valid google\.pubsub\.v1\.PullRequest"):
        parse_request("Pull", b"\xff\xff")

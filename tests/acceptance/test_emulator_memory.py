"""What a large backlog costs: the figures that the documentation promises."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.pubsub_v1 import types

from tests.support.project import read_until

TOPIC = "projects/p/topics/orders"
SUBSCRIPTION = "projects/p/subscriptions/orders"

BACKLOG = 1_000_000
AT_ONCE = 1000
SECONDS = 60

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Only Linux has it."),
]


@pytest.fixture
def start() -> Iterator[Callable[..., tuple[subprocess.Popen[str], grpc.Channel]]]:
    """Start ``rele-cli emulator`` with further options: its process and a channel to it."""
    processes: list[subprocess.Popen[str]] = []

    def start(*options: str) -> tuple[subprocess.Popen[str], grpc.Channel]:
        process = subprocess.Popen(
            [
                *(sys.executable, "-W", "ignore::FutureWarning", "-m", "rele", "emulator"),
                *("--host-port", "127.0.0.1:0", *options),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        address = read_until(process.stdout, "PUBSUB_EMULATOR_HOST=").rpartition("=")[2].strip()
        return process, grpc.insecure_channel(address)

    yield start
    for process in processes:
        with process:
            process.kill()


def peak_megabytes(process: subprocess.Popen[str]) -> int:
    """The most memory that the process had resident so far (``VmHWM`` in proc(5))."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("VmHWM")]
    return int(line.split()[1]) // 1000


def call(channel: grpc.Channel, method: str, request: Any) -> bytes:
    answer: bytes = channel.unary_unary(f"/google.pubsub.v1.{method}")(
        type(request).serialize(request), timeout=SECONDS
    )
    return answer


def publish_backlog(channel: grpc.Channel) -> None:
    call(channel, "Publisher/CreateTopic", types.Topic(name=TOPIC))
    subscription = types.Subscription(name=SUBSCRIPTION, topic=TOPIC)
    call(channel, "Subscriber/CreateSubscription", subscription)
    request = types.PublishRequest(topic=TOPIC, messages=[{"data": b"x" * 200}] * AT_ONCE)
    for _ in range(BACKLOG // AT_ONCE):
        call(channel, "Publisher/Publish", request)


def pull(channel: grpc.Channel) -> list[bytes]:
    request = types.PullRequest(subscription=SUBSCRIPTION, max_messages=AT_ONCE)
    answer = types.PullResponse.deserialize(call(channel, "Subscriber/Pull", request))
    return [each.message.data for each in answer.received_messages]


def test_in_memory_a_million_messages_stay_below_1_gb(start: Callable[..., Any]) -> None:
    process, channel = start()
    with channel:
        publish_backlog(channel)
        assert pull(channel) == [b"x" * 200] * AT_ONCE

    assert peak_megabytes(process) < 1000


def test_on_disk_a_million_messages_stay_below_300_mb(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    process, channel = start("--data-dir", str(tmp_path))
    with channel:
        publish_backlog(channel)
        assert pull(channel) == [b"x" * 200] * AT_ONCE
    assert peak_megabytes(process) < 300
    process.terminate()
    assert process.wait(SECONDS) == 0

    process, channel = start("--data-dir", str(tmp_path))
    with channel:
        assert pull(channel) == [b"x" * 200] * AT_ONCE
    assert peak_megabytes(process) < 300

"""The libraries that consume, each in the way that is natural for it.

It imports nothing of this repository but Relé, so that it runs in the peers' environment, too.
Every ``consume`` handles the messages of the named subscriptions until the process ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections.abc import Callable, Sequence
from typing import Any

PROJECT = "benchmark"
THREADS = 2
IN_A_BATCH = 500
WAIT = 0.005
"""Seconds that a handler waits in an event loop."""

Count = Callable[[int], object]
"""Called with a number of messages that were handled."""


class Rele:
    """Relé as a project uses it, or version 1.x of it: whichever is installed."""

    def __init__(self, engine: str = "rele") -> None:
        import rele

        self._rele: Any = rele
        self._settings: dict[str, Any] = {
            "APP_NAME": "benchmark",
            "GC_PROJECT_ID": PROJECT,
            "THREADS_PER_SUBSCRIPTION": THREADS,
            "MIDDLEWARE": ["rele.contrib.LoggingMiddleware"],
        }
        if not rele.__version__.startswith("1."):
            self._settings |= {"ENGINE": engine, "RESOURCES": "ignore"}

    def consume(self, names: Sequence[str], kind: str, count: Count) -> None:
        from rele import worker
        from rele.config import Config

        options, handler = self._handler(kind, count)
        subscriptions = [self._rele.sub(topic=name, **options)(handler()) for name in names]
        self._rele.setup(self._settings)
        # Version 1.x looks for a host of the Internet, which a benchmark does without.
        worker.check_internet_connection = lambda remote_server: True
        worker.create_and_run(subscriptions, Config(self._settings))

    def _handler(self, kind: str, count: Count) -> tuple[dict[str, Any], Callable[[], Any]]:
        if kind.startswith("batch"):
            batch = self._rele.Batch(max_messages=IN_A_BATCH, max_wait=0.2)
            codec = {"codec": "bytes"} if kind == "batch of bytes" else {}
            return {"batch": batch, **codec}, lambda: _batch_handler(count)
        if kind.startswith("async"):
            del self._settings["THREADS_PER_SUBSCRIPTION"]  # so many run at once as by default
            return {}, lambda: _async_handler(count, WAIT if kind == "async that waits" else 0)
        return {}, lambda: _handler(count)


def _handler(count: Count) -> Any:
    def handle(data: Any, **attributes: Any) -> None:
        count(1)

    return handle


def _async_handler(count: Count, seconds: float) -> Any:
    async def handle(data: Any, **attributes: Any) -> None:
        if seconds:
            await asyncio.sleep(seconds)
        count(1)

    return handle


def _batch_handler(count: Count) -> Any:
    def handle(messages: Sequence[Any]) -> None:
        for message in messages:
            message.data  # noqa: B018 - decoded when it is looked at
        count(len(messages))

    return handle


class ReleOnGooglesClient(Rele):
    """Relé with ``ENGINE`` as ``"google"``."""

    def __init__(self) -> None:
        super().__init__("google")


class Google:
    """Google's client, with a callback that does what the handler is given by the others."""

    def consume(self, names: Sequence[str], kind: str, count: Count) -> None:
        from concurrent.futures import ThreadPoolExecutor

        from google.cloud import pubsub_v1
        from google.cloud.pubsub_v1.subscriber.scheduler import ThreadScheduler

        def handle(message: Any) -> None:
            handler(json.loads(message.data), **message.attributes)
            message.ack()

        def handle_bytes(message: Any) -> None:
            count(1)
            message.ack()

        handler = _handler(count)
        callback = handle_bytes if kind == "batch of bytes" else handle
        client = pubsub_v1.SubscriberClient()
        for name in names:
            path = client.subscription_path(PROJECT, name)
            scheduler = ThreadScheduler(ThreadPoolExecutor(THREADS))
            future = client.subscribe(path, callback=callback, scheduler=scheduler)
        future.result()


class Repid:
    """Repid 2, whose actors are coroutines and get the payload's fields."""

    def consume(self, names: Sequence[str], kind: str, count: Count) -> None:
        import repid

        app = repid.Repid()
        address = f"http://{os.environ['PUBSUB_EMULATOR_HOST']}/v1"
        server = repid.PubsubServer(address, default_project=PROJECT, use_google_auth=False)
        app.servers.register_server("default", server, is_default=True)
        router = repid.Router()

        async def handle(id: int, text: str = "") -> None:  # noqa: A002 - the name of a field
            count(1)

        for name in names:
            routing = repid.catch_all_routing_strategy
            router.actor(name=name, channel=name, routing_strategy=routing)(handle)
        app.include_router(router)

        async def run() -> None:
            async with app.servers.default.connection():
                await app.run_worker()

        asyncio.run(run())


class Stub:
    """Generated messages and gRPC on an event loop, no leases: the least that Python can do."""

    def consume(self, names: Sequence[str], kind: str, count: Count) -> None:
        asyncio.run(self._consume(names[0], kind, count))

    async def _consume(self, name: str, kind: str, count: Count) -> None:
        import grpc
        from google.pubsub_v1 import types

        path = f"projects/{PROJECT}/subscriptions/{name}"
        channel = grpc.aio.insecure_channel(os.environ["PUBSUB_EMULATOR_HOST"])
        service = "/google.pubsub.v1.Subscriber"
        acknowledge: Any = channel.unary_unary(f"{service}/Acknowledge")
        call: Any = channel.stream_stream(f"{service}/StreamingPull")()
        opening = types.StreamingPullRequest.pb()(
            subscription=path,
            stream_ack_deadline_seconds=60,
            max_outstanding_messages=1000,
            client_id=str(uuid.uuid4()),
        )
        await call.write(opening.SerializeToString())
        parse: Any = types.StreamingPullResponse.pb().FromString
        acks: Any = types.AcknowledgeRequest.pb()
        handler, tasks = _handler(count), set()

        async def send(request: bytes) -> None:
            await acknowledge(request)

        while (response := await call.read()) is not grpc.aio.EOF:
            received = parse(response).received_messages
            for each in received:
                message = each.message
                if kind == "batch of bytes":
                    count(1)
                else:
                    handler(json.loads(message.data), **message.attributes)
            request = acks(subscription=path, ack_ids=[each.ack_id for each in received])
            task = asyncio.create_task(send(request.SerializeToString()))
            tasks.add(task)
            task.add_done_callback(tasks.discard)


LIBRARIES: dict[str, Any] = {
    "rele": Rele,
    "rele-on-google": ReleOnGooglesClient,
    "rele-1": Rele,
    "google": Google,
    "repid": Repid,
    "stub": Stub,
}

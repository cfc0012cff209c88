"""One process that consumes subscriptions until it is told to stop."""

from __future__ import annotations

import logging
import signal as signals
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType
from typing import Any

from rele import publishing
from rele.client import Subscriber
from rele.config import Config
from rele.declaration.options import SubscriptionOptions
from rele.endpoint import can_connect, pubsub_address, what_to_check
from rele.engine.base import Consumer, Message
from rele.engine.google.dead_letters import DeadLetterPublisher
from rele.engine.google.flow_control import flow_control, max_lease_duration, states_limits
from rele.engine.google.scheduler import DrainingScheduler
from rele.engine.google.streams import KeptStream
from rele.exceptions import NoProjectError, ReleError
from rele.handling.settlement import SettlementPolicy
from rele.middleware import run_middleware_hook
from rele.resources import Provisioner, Resources, advised
from rele.resources.topic_watch import TopicWatch
from rele.retry_policy import RetryPolicy
from rele.runtime.stopping import (
    STOP_SIGNALS,
    StopRequest,
    StopRequestedError,
    exit_without_waiting,
    stop_signals,
    take_step,
)
from rele.runtime.waiting import reported_if_long
from rele.schema.settings import storage_regions
from rele.subscription import Callback, Subscription

logger = logging.getLogger(__name__)

DEFAULT_THREADS_PER_SUBSCRIPTION = 2
DEFAULT_SHUTDOWN_TIMEOUT = 30.0
"""Seconds."""

_CLOSE_TIMEOUT = 1.0
_CLOSE_TIMEOUT_AWAY = 0.2
"""Seconds; the latter while Pub/Sub does not answer."""


class NotConnectionError(ReleError):
    """Pub/Sub cannot be reached."""


def check_internet_connection(remote_server: str) -> bool:
    """Whether ``remote_server``, the address of Pub/Sub, can be reached within 10 s."""
    return can_connect(remote_server)


def require_connection(address: str) -> None:
    """Return if Pub/Sub can be reached at ``address``.

    Raises:
        NotConnectionError: it cannot, within 10 s; it says what to look at.
    """
    with reported_if_long(lambda: logger.warning("Waiting up to 10 s for Pub/Sub at %s.", address)):
        is_reachable = check_internet_connection(address)
    if not is_reachable:
        raise NotConnectionError(
            f"Pub/Sub cannot be reached at {address} within 10 s: {what_to_check(address)}"
        )


class Worker:
    """Consumes subscriptions in threads.

    Args:
        subscriptions: what to consume.
        client_options: for Google's clients.
        gc_project_id: the Google Cloud project.
        credentials: Google credentials; not used under the emulator.
        gc_storage_region: where topics that are made keep their messages.
        default_ack_deadline: seconds, of subscriptions that are made.
        threads_per_subscription: how many messages of one are handled at a time.
        default_retry_policy: of subscriptions that state none.
        config: the configuration whose newer settings count, as for the workers of
            ``create_and_run``; without one the worker does what the arguments before it say.
    """

    def __init__(
        self,
        subscriptions: Sequence[Subscription],
        client_options: dict[str, Any] | None,
        gc_project_id: str | None = None,
        credentials: Any = None,
        gc_storage_region: Sequence[str] | str | None = None,
        default_ack_deadline: int | None = None,
        threads_per_subscription: int | None = None,
        default_retry_policy: RetryPolicy | None = None,
        *,
        config: Config | None = None,
    ) -> None:
        self._subscriber = Subscriber(
            gc_project_id,
            credentials,
            storage_regions(gc_storage_region),
            client_options,
            default_ack_deadline,
            default_retry_policy,
            **({} if config is None else {"resilient": True}),
        )
        self._address = pubsub_address(client_options)
        self._dead_letters = DeadLetterPublisher(self._subscriber.connection)
        self._subscriptions = subscriptions
        self._project_id = gc_project_id
        self._threads = threads_per_subscription or DEFAULT_THREADS_PER_SUBSCRIPTION
        self._config = config
        self._shutdown_timeout = (
            DEFAULT_SHUTDOWN_TIMEOUT if config is None else config.shutdown_timeout
        )
        self._resources: Resources | None = None
        self._provisioner: Provisioner | None = None
        if config and gc_project_id:
            self._resources = self._subscriber.resources(
                gc_project_id, config.subscription_defaults
            )
            self._provisioner = Provisioner(self._resources, config.resources, subscriptions)
        self._futures: dict[Subscription, Any] = {}
        self._streams: list[Consumer] = []
        self._topic_watch: TopicWatch | None = None
        self._stop = StopRequest()
        self._runs_forever = False

    def setup(self) -> None:
        """Create the subscriptions, and their topics, where they are missing.

        What else it does, ``RELE["RESOURCES"]`` says: by default what is stated is changed, too.

        Raises:
            ResourceError: Pub/Sub refused one (built by hand: Google's GoogleAPIError), or the
                subscriptions are not as declared and the worker is to change nothing.
        """
        with reported_if_long(self._report_setup):
            if self._provisioner is not None:
                with advised(self._address):
                    self._provisioner.set_up()
                return
            for subscription in self._subscriptions:
                self._subscriber.update_or_create_subscription(subscription)

    def _report_setup(self) -> None:
        logger.info(
            "Waiting for Pub/Sub at %s to answer about topics and subscriptions.", self._address
        )

    def start(self) -> None:
        """Begin to consume all subscriptions, each in threads of its own.

        Raises:
            NotConnectionError: Pub/Sub cannot be reached.
        """
        self._check_connection()
        run_middleware_hook("pre_worker_start")
        try:
            self._open_streams()
        except BaseException:
            self._close_streams()
            raise
        self._watch_topics()
        run_middleware_hook("post_worker_start")

    def _watch_topics(self) -> None:
        mode = "ignore" if self._config is None else self._config.resources
        if mode == "ignore":
            return
        makes_again = mode != "verify"
        self._topic_watch = self._subscriber.watch_topics(self._subscriptions, makes_again)
        self._topic_watch.start()

    def _open_streams(self) -> None:
        for subscription in self._subscriptions:
            stream = KeptStream(
                subscription.name,
                partial(self._consume, subscription),
                partial(self._make_again, subscription),
                self._threads_of(subscription),
                max_lease_duration=max_lease_duration(self._options_of(subscription)),
                is_away=lambda: self._subscriber.is_away,
            )
            self._streams.append(stream)
            self._futures[subscription] = stream.open()

    def run_forever(
        self, sleep_interval: float = 1, *, on_start: Callable[[], None] | None = None
    ) -> None:
        """Set up, start, and stop once a signal handler has called :meth:`stop`.

        Args:
            sleep_interval: seconds between two looks at whether to stop; a signal is seen at once.
            on_start: called when the subscriptions are being consumed.

        Raises:
            NotConnectionError: Pub/Sub cannot be reached.
            SystemExit: with status 0, in the end.
        """
        self._runs_forever = True
        try:
            self._check_connection()
            self._stop.run_unless_stopped(self.setup)
            self.start()
            if on_start is not None:
                on_start()
            self._wait_forever(sleep_interval)
        except StopRequestedError:
            logger.info("The worker was stopped before it had started.")
            self._runs_forever = False
            self.stop()
        finally:
            self._runs_forever = False

    def _wait_forever(self, sleep_interval: float) -> None:
        try:
            while not self._stop.wait(sleep_interval):
                pass
        except KeyboardInterrupt:
            logger.info("Interrupted.")  # and nobody has installed stop() as the handler
        self._runs_forever = False
        self.stop()

    def stop(self, signal: int | None = None, frame: FrameType | None = None) -> None:
        """Finish what has begun, hand back the rest, and exit with status 0.

        As a signal handler, while :meth:`run_forever` runs, it only asks that to stop; a second
        signal, a second or more after the first, ends the process at once with status 1.
        Handlers that run longer than the shutdown timeout are given up, with status 1.

        Raises:
            SystemExit: unless it was called as a signal handler.
        """
        if self._runs_forever or (self._stop.has_begun and signal is not None):
            self._stop.request()
            return
        if self._stop.has_begun:
            sys.exit(0)
        self._stop.has_begun = True
        still_running = self._shut_down()
        if still_running:
            exit_without_waiting(still_running, self._shutdown_timeout)
        sys.exit(0)

    def _shut_down(self) -> int:
        """Return how many handlers had to be given up."""
        run_middleware_hook("pre_worker_stop", self._subscriptions)
        if self._topic_watch is not None:
            self._topic_watch.stop()
        still_running = self._close_streams()
        self._close_subscriber()
        with reported_if_long(_report_flush):
            take_step(publishing.flush)
        run_middleware_hook("post_worker_stop")
        return still_running

    def _close_subscriber(self) -> None:
        """Close the connection, unless that takes long.

        Threads of Google's client may be in the middle of a call, and closing waits for them. The
        end of the process closes the connection just as well.
        """
        closing = threading.Thread(target=take_step, args=(self._subscriber.close,), daemon=True)
        closing.start()
        closing.join(_CLOSE_TIMEOUT_AWAY if self._subscriber.is_away else _CLOSE_TIMEOUT)

    def _close_streams(self) -> int:
        """Drain all; return how many handlers still run at the shutdown timeout."""
        deadline = time.monotonic() + self._shutdown_timeout
        # All first, so that they end side by side within the one deadline.
        for stream in self._streams:
            stream.drain(deadline)
        with reported_if_long(self._report_running):
            return sum(stream.join(deadline) for stream in self._streams)

    def _report_running(self) -> None:
        if running := sum(stream.running for stream in self._streams):
            logger.info(
                "Waiting up to %s s for %d running handler(s) to finish.",
                self._shutdown_timeout,
                running,
            )

    def _check_connection(self) -> None:
        check = partial(require_connection, self._address)
        if self._runs_forever:
            self._stop.run_unless_stopped(check)
        else:
            check()

    def _consume(self, subscription: Subscription, scheduler: DrainingScheduler) -> Any:
        return self._subscriber.consume(
            subscription_name=subscription.name,
            callback=Callback(subscription, policy=self._settlement_of(subscription)),
            scheduler=scheduler,
            **self._limits_of(subscription),
        )

    def _settlement_of(self, subscription: Subscription) -> SettlementPolicy:
        options = self._options_of(subscription)
        resources, config = self._resources, self._config
        return SettlementPolicy(
            subscription,
            failure_pause=None if resources is None else resources.failure_pause(subscription),
            confirms_acks=bool(options.enable_exactly_once_delivery),
            send_to_dead_letters=self._sender_to_dead_letters(subscription, options),
            logs_payloads=True if config is None else config.log_payloads,
        )

    def _sender_to_dead_letters(
        self, subscription: Subscription, options: SubscriptionOptions
    ) -> Callable[[Message], None] | None:
        policy, project_id = options.dead_letter_policy, self._project_id
        if policy is None or project_id is None:
            return None
        return self._dead_letters.sender(
            policy.topic_path(project_id, subscription.name),
            f"projects/{project_id}/subscriptions/{subscription.name}",
        )

    def _limits_of(self, subscription: Subscription) -> dict[str, Any]:
        """The flow control; built by hand and without any statement, it is left to Google."""
        options = self._options_of(subscription)
        if self._config is None and not states_limits(options):
            return {}
        return {"flow_control": flow_control(options, self._threads_of(subscription))}

    def _threads_of(self, subscription: Subscription) -> int:
        return self._options_of(subscription).threads or self._threads

    def _options_of(self, subscription: Subscription) -> SubscriptionOptions:
        """What the declaration states, else the configuration."""
        if self._config is None:
            return subscription.options
        return subscription.options.over(self._config.subscription_defaults)

    def _make_again(self, subscription: Subscription) -> bool:
        if self._provisioner is not None:
            return self._provisioner.restore(subscription)
        self._subscriber.update_or_create_subscription(subscription)
        return True


def _report_flush() -> None:
    logger.info("Waiting for Pub/Sub to accept what was published.")


def make_worker(subs: Sequence[Subscription], config: Config) -> Worker:
    """Make the worker that ``config`` describes.

    Raises:
        NoProjectError: the configuration names no project.
    """
    if config.gc_project_id is None:
        raise NoProjectError
    connection = config.connection
    return Worker(
        subs,
        connection.client_options,
        connection.gc_project_id,
        connection.credentials,
        connection.regions,
        connection.ack_deadline,
        config.threads_per_subscription,
        connection.retry_policy,
        config=config,
    )


def create_and_run(
    subs: Sequence[Subscription],
    config: Config,
    *,
    on_start: Callable[[], None] | None = None,
) -> None:
    """Make a worker for ``subs`` and run it until SIGINT, SIGTERM, SIGHUP or SIGTSTP.

    Args:
        subs: what to consume.
        config: the project's configuration.
        on_start: called when the subscriptions are being consumed.

    Raises:
        NoProjectError: the configuration names no project.
        NotConnectionError: Pub/Sub cannot be reached.
        SystemExit: in the end, with status 0 if nothing was given up.
    """
    worker = make_worker(subs, config)
    # Elsewhere, as under Django's autoreloader, Python lets nobody handle signals.
    if threading.current_thread() is threading.main_thread():
        for signum in stop_signals(*STOP_SIGNALS, "SIGTSTP"):
            signals.signal(signum, worker.stop)
    if on_start is None:
        worker.run_forever()
    else:
        worker.run_forever(on_start=on_start)

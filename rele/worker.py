"""The life of one process that consumes subscriptions until it is asked to stop."""

from __future__ import annotations

import logging
import math
import sys
import threading
from collections.abc import Callable, Sequence
from enum import Enum, auto
from functools import partial
from types import FrameType
from typing import Any

from rele.client import Subscriber
from rele.config import Config
from rele.consuming.consumers import consumers_of
from rele.consuming.remote_control import RemoteControl
from rele.consuming.shutdown import Patience, Shutdown, drain, end_process, report_abrupt_end
from rele.consuming.worker_plan import ConsumerPlan, WorkerPlan, plan_as_in_1x, plan_of_config
from rele.consuming.worker_status import WorkerStatus
from rele.endpoint import can_connect, what_to_check
from rele.engine.base import Consumer, SendToDeadLetters
from rele.engine.connection import Connection
from rele.engine.google.dead_letters import DeadLetterPublisher
from rele.engine.times import Times
from rele.exceptions import ReleError
from rele.handling.settlement import SettlementPolicy
from rele.middleware import run_middleware_hook
from rele.resources import CreateFirstProvisioner, PlanningProvisioner, Provisioner, advised
from rele.resources.topic_watch import TopicWatch
from rele.retry_policy import RetryPolicy
from rele.runtime.garbage import rare_collections
from rele.runtime.stopping import STOP_SIGNALS, StopRequest, StopRequestedError, catch_stop_signals
from rele.runtime.waiting import reported_if_long
from rele.schema.settings import storage_regions
from rele.subscription import Callback, Subscription

logger = logging.getLogger(__name__)


class NotConnectionError(ReleError):
    """Pub/Sub cannot be reached."""


def check_internet_connection(remote_server: str) -> bool:
    """Whether ``remote_server``, the address of Pub/Sub, can be reached within 10 s."""
    return can_connect(remote_server)


def require_connection(address: str) -> None:
    """Return if Pub/Sub can be reached at ``address``.

    Raises:
        NotConnectionError: it cannot be reached within 10 s; the error says what to check.
    """
    with reported_if_long(lambda: logger.warning("Waiting up to 10 s for Pub/Sub at %s.", address)):
        is_reachable = check_internet_connection(address)
    if not is_reachable:
        raise NotConnectionError(
            f"Pub/Sub cannot be reached at {address} within 10 s: {what_to_check(address)}"
        )


class WorkerState(Enum):
    """The states of a worker that determine how it stops."""

    READY = auto()
    """:meth:`Worker.run_forever` is not running: the program itself sets up, starts and stops."""
    RUNNING = auto()
    """:meth:`Worker.run_forever` sets up, consumes, and waits for a request to stop."""
    STOPPING = auto()
    """The shutdown has begun."""
    STOPPED = auto()
    """The shutdown is over."""


class Worker:
    """Consumes subscriptions in threads.

    What pauses and resumes them meanwhile is its ``remote_control``, if one was set before.

    Args:
        subscriptions: the subscriptions to consume.
        client_options: for Google's clients.
        gc_project_id: the Google Cloud project.
        credentials: Google credentials; not used under the emulator.
        gc_storage_region: the regions where new topics store their messages.
        default_ack_deadline: the ack deadline in seconds of new subscriptions.
        threads_per_subscription: how many messages of a subscription are handled at a time.
        default_retry_policy: the retry policy of subscriptions that state none.
        config: a configuration for all other settings, as ``create_and_run`` passes it; without a
            configuration the worker behaves as in Relé 1.x.
        times: the durations that it uses; tests shorten them.

    Raises:
        NoProjectError: ``config`` is given, but no project.
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
        times: Times | None = None,
    ) -> None:
        connection = Connection(
            gc_project_id,
            credentials,
            client_options,
            storage_regions(gc_storage_region),
            default_ack_deadline,
            default_retry_policy,
        )
        if config is None:
            self._plan = plan_as_in_1x(connection, subscriptions, threads_per_subscription)
        else:
            self._plan = plan_of_config(config, connection, subscriptions)
        self._subscriptions = subscriptions
        self._address = connection.address
        times, resilient = times or Times(), self._plan.is_resilient
        self._subscriber = Subscriber.over(connection, resilient=resilient, times=times)
        self._engine = consumers_of(self._plan, self._subscriber, times)
        self._provisioner = _make_provisioner(self._plan, self._subscriber)
        self._dead_letters = DeadLetterPublisher(self._subscriber.connection)
        self._consumers: list[Consumer] = []
        self._status = WorkerStatus(self._plan, lambda: self._engine.unavailable_for)
        self.remote_control = RemoteControl(())
        self._futures: dict[Subscription, Any] = {}
        self._topic_watch: TopicWatch | None = None
        self._state = WorkerState.READY
        self._stop = StopRequest(lambda: report_abrupt_end(self._consumers))

    def setup(self) -> None:
        """Create missing subscriptions and topics.

        ``RELE["RESOURCES"]`` decides what else it does: by default it also updates subscriptions
        that differ from their declarations.

        Raises:
            ResourceError: Pub/Sub refused a change, or a subscription is not as declared and the
                worker may change nothing.
            google.api_core.exceptions.GoogleAPIError: Pub/Sub refused a change, and the worker has
                no ``config``.
        """
        with reported_if_long(self._report_setup), advised(self._address):
            self._provisioner.set_up()

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
        self._status.begin()
        try:
            self._open_streams()
        except BaseException:
            self.remote_control.end()
            drain(self._consumers, self._plan.shutdown_timeout)
            self._status.end()
            raise
        if self._plan.watches_topics:
            self._topic_watch = self._subscriber.watch_topics(
                self._subscriptions, self._plan.recreates_topics
            )
            self._topic_watch.start()
        run_middleware_hook("post_worker_start")

    def _open_streams(self) -> None:
        consumers = [self._make_consumer(plan) for plan in self._plan.consumers]
        self._consumers += consumers
        pairs = list(zip(self._plan.consumers, consumers, strict=True))
        # Before they are open: what is paused is not opened.
        self.remote_control.begin(
            {plan.subscription.name: (consumer, plan.threads) for plan, consumer in pairs}
        )
        for plan, consumer in pairs:
            self._futures[plan.subscription] = consumer.open()
        self._status.consume(consumers)

    def _make_consumer(self, plan: ConsumerPlan) -> Consumer:
        restore = partial(self._provisioner.restore, plan.subscription)
        return self._engine.make(plan, self._callback(plan), restore)

    def _callback(self, plan: ConsumerPlan) -> Callback:
        subscription, policy = plan.subscription, plan.dead_letter_policy
        settlement = SettlementPolicy(
            subscription,
            failure_pause=self._provisioner.failure_pause(subscription),
            confirms_acks=plan.confirms_acks,
            send_to_dead_letters=self._sender_to_dead_letters(plan),
            max_attempts=None if policy is None else policy.max_delivery_attempts,
            logs_payloads=plan.logs_payloads,
            decode=plan.decode,
        )
        return Callback(subscription, policy=settlement)

    def _sender_to_dead_letters(self, plan: ConsumerPlan) -> SendToDeadLetters | None:
        policy, project_id = plan.dead_letter_policy, self._plan.connection.gc_project_id
        if policy is None or project_id is None:
            return None
        name = plan.subscription.name
        return self._dead_letters.sender(
            policy.topic_path(project_id, name), f"projects/{project_id}/subscriptions/{name}"
        )

    def run_forever(
        self, sleep_interval: float = 1, *, on_start: Callable[[], None] | None = None
    ) -> None:
        """Set up, start, and stop once a signal handler has called :meth:`stop`.

        Args:
            sleep_interval: not used: a stop is noticed at once, by whatever it is requested.
            on_start: called when the subscriptions are being consumed.

        Raises:
            NotConnectionError: Pub/Sub cannot be reached.
            SystemExit: at the end, as :meth:`stop` raises it.
        """
        self._state = WorkerState.RUNNING
        self._status.begin()
        try:
            self._check_connection()
            self._stop.run_unless_stopped(self.setup)
            self.start()
            if on_start is not None:
                on_start()
            self._wait_forever(sleep_interval)
        except StopRequestedError:
            logger.info("The worker was stopped before it had started.")
            self._state = WorkerState.READY
            self.stop()
        finally:
            if self._state is WorkerState.RUNNING:  # it has failed
                self._state = WorkerState.READY
                self._status.end()

    def _wait_forever(self, sleep_interval: float) -> None:
        try:
            while not self._stop.wait(math.inf):
                pass
        except KeyboardInterrupt:
            logger.info("Interrupted.")  # stop() is not installed as the signal handler
        self._state = WorkerState.READY
        self.stop()

    def stop(self, signal: int | None = None, frame: FrameType | None = None) -> None:
        """Shut down gracefully, then exit with status 0; or ask :meth:`run_forever` to do so.

        Running handlers finish, and waiting messages are nacked. If handlers run longer than the
        shutdown timeout, they are abandoned, and the status is 1. A second signal, a second or more
        after the first, ends the process at once with status 1.

        This method may be installed as a signal handler. While :meth:`run_forever` is running, it
        only asks :meth:`run_forever` to stop, and returns.

        Raises:
            SystemExit: unless :meth:`run_forever` is running, or this is a further signal during
                the shutdown.
        """
        if signal is not None:
            self._stop.request_by_signal(signal)
        if self._state is WorkerState.RUNNING:
            self._stop.request()
        elif self._state is WorkerState.READY:
            self._shut_down()
        elif signal is None:
            sys.exit(0)

    def request_stop(self, *, unhurried: bool = False) -> None:
        """Ask :meth:`run_forever` to stop, from any thread; it may not be running yet.

        Args:
            unhurried: running handlers may finish, for as long as their messages are leased, unless
                a signal or another request follows.
        """
        if unhurried:
            self._stop.request_unhurried()
        else:
            self._stop.request()

    @property
    def stopped_by(self) -> int | None:
        """The number of the signal that has stopped it, if one has."""
        return self._stop.signal

    def end_at_once(self) -> None:
        """End the process as a second signal does, from any thread."""
        self._stop.end_at_once()

    def _shut_down(self) -> None:
        self._state = WorkerState.STOPPING
        self._status.drain()
        self.remote_control.end()
        timeout = self._plan.shutdown_timeout
        still_running = Shutdown(
            self._subscriptions,
            self._consumers,
            self._topic_watch,
            self._engine,
            timeout,
            self._stop.is_by_signal,
            self._patience(),
        ).run()
        self._stop.allow_to_end()
        self._state = WorkerState.STOPPED
        self._status.end()
        end_process(still_running, timeout)

    def _patience(self) -> Patience | None:
        if self._stop.is_hurried or not self._stop.is_requested:
            return None
        longest = max((each.max_lease_duration for each in self._plan.consumers), default=0.0)
        return Patience(longest, self._stop.wait_for_hurry)

    def _check_connection(self) -> None:
        check = partial(require_connection, self._address)
        if self._state is WorkerState.RUNNING:
            self._stop.run_unless_stopped(check)
        else:
            check()


def _make_provisioner(plan: WorkerPlan, subscriber: Subscriber) -> Provisioner:
    if plan.provisioning == "create first":
        return CreateFirstProvisioner(subscriber, plan.subscriptions)
    resources = subscriber.resources(str(plan.connection.gc_project_id), plan.defaults)
    return PlanningProvisioner(resources, plan.provisioning, plan.subscriptions)


def make_worker(
    subs: Sequence[Subscription], config: Config, *, times: Times | None = None
) -> Worker:
    """Make the worker that ``config`` describes; tests shorten the durations in ``times``.

    Raises:
        NoProjectError, UnusableCredentialsError: no project is known.
    """
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
        times=times,
    )


def create_and_run(
    subs: Sequence[Subscription],
    config: Config,
    *,
    on_start: Callable[[], None] | None = None,
    times: Times | None = None,
    before_run: Callable[[Worker], object] = lambda worker: None,
) -> None:
    """Make a worker for ``subs`` and run it until SIGINT, SIGTERM, SIGHUP or SIGTSTP.

    Args:
        subs: the subscriptions to consume.
        config: the project's configuration.
        on_start: called when the subscriptions are being consumed.
        times: the durations that it uses; tests shorten them.
        before_run: called with the worker before it connects, when signals are caught.

    Raises:
        NoProjectError, UnusableCredentialsError: no project is known.
        NotConnectionError: Pub/Sub cannot be reached.
        SystemExit: at the end, with status 0 if all handlers have finished.
    """
    worker = make_worker(subs, config, times=times)
    # Only the main thread can install signal handlers; Django's autoreloader uses another thread.
    if threading.current_thread() is threading.main_thread():
        catch_stop_signals(worker.stop, *STOP_SIGNALS, "SIGTSTP")
    before_run(worker)
    with rare_collections():
        if on_start is None:
            worker.run_forever()
        else:
            worker.run_forever(on_start=on_start)

"""The durations that an engine uses, as one value that a test can shorten."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Times:
    """All in seconds."""

    first_pause: float = 1.0
    longest_pause: float = 15.0
    """The first and the longest pause before a stream that has ended is started again."""
    longest_random_pause: float = 60.0
    """The longest one of Relé's own engine, whose pauses are random: from 0 to twice as long each
    time, so that a thousand workers do not open their streams in the same moment."""
    healthy_after: float = 15.0
    """The age at which a stream that was started again counts as healthy."""
    check_every: float = 5.0
    """The interval of the checks whether the threads that serve a stream are alive."""
    confirm_after: float = 1.0
    """The delay of a second check after a thread was found ended. The thread counts as lost only if
    the second check finds the same: it might be replaced, or its stream might be ending."""
    last_acks: float = 1.0
    """How long a stream may last after its handlers, to send the last acknowledgements."""
    unavailable_grace: float = 1.0
    """How long to wait for the end of a stream while Pub/Sub is unavailable."""

    report_every: float = 60.0
    """The interval of the log lines about an outage."""
    outage_grace: float = 2.0
    """How long an outage lasts before it is reported: Pub/Sub ends streams now and then."""
    accepted_after: float = 30.0
    """The age at which a stream counts as accepted. Google's client opens a failing stream
    five times at once, and then again after 10 s; an attempt for which it gets no token fails
    after 15 s."""
    at_once: float = 1.0
    """Streams that fail within this time have one cause, such as a lost connection."""
    connected_for: float = 1.0
    """How long a connection must last before an outage is over."""

    topics_every: float = 60.0
    """The interval of the checks whether topics were deleted."""

    keepalive: float = 30.0
    keepalive_timeout: float = 10.0
    """The interval of pings, and the time to wait for an answer, to notice a dead connection.
    Google's client pings every 30 s as well, but not under PUBSUB_EMULATOR_HOST. Servers close
    connections that ping too often."""
    longest_reconnect_pause: float = 10.0
    """The longest interval between two attempts to connect; gRPC's default is 120."""
    connect_timeout: float = 10.0
    """The timeout of one attempt to connect; gRPC's default is 20."""

    blocked_after: float = 3.0
    """How long the event loop of consumers may not run before that is logged."""

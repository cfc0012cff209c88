"""The durations by which an engine decides, as one value that a test can shorten."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Times:
    """All in seconds."""

    first_pause: float = 1.0
    longest_pause: float = 15.0
    """Before a stream that has ended is started again: at first, and at most."""
    healthy_after: float = 15.0
    """How old a stream that was started again has to be to count as healthy."""
    check_every: float = 5.0
    """Between two checks whether the threads that serve a stream are alive."""
    confirm_after: float = 1.0
    """A thread that has ended may be about to be replaced, or its stream about to end: it counts
    as lost when a check that much later finds the same."""
    last_acks: float = 1.0
    """For which a stream may go on at the end, to send the last acknowledgements."""
    unavailable_grace: float = 1.0
    """In which a stream may end although Pub/Sub is unavailable."""

    report_every: float = 60.0
    """Between two lines about the same outage."""
    outage_grace: float = 2.0
    """For which an outage lasts before it is reported: Pub/Sub ends streams now and then."""
    accepted_after: float = 30.0
    """How old a stream has to be to count as accepted. Google's client opens a failing stream
    five times at once, and then again after 10 s; an attempt for which it gets no token fails
    after 15 s."""
    at_once: float = 1.0
    """Within which streams fail for one cause, such as a lost connection."""
    connected_for: float = 1.0
    """For which a connection must hold before an outage is over."""

    topics_every: float = 60.0
    """Between two checks whether topics were deleted."""

    keepalive: float = 30.0
    keepalive_timeout: float = 10.0
    """Between two pings, and to wait for the answer: a connection gone silent is noticed. Google's
    client pings every 30 s, too, but not under PUBSUB_EMULATOR_HOST. Servers end connections that
    ping more often than they like."""
    longest_reconnect_pause: float = 10.0
    """Between two attempts to connect; gRPC's own are up to 120 apart."""
    connect_timeout: float = 10.0
    """For one attempt to connect; gRPC's own is 20."""

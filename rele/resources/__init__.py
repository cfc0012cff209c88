"""Desired against actual topics and subscriptions: read, plan, then apply."""

from rele.resources.by_hand import update_or_create
from rele.resources.calls import advised
from rele.resources.changes import CANNOT_CHANGE, Change, Difference, Plan
from rele.resources.desired import (
    DEFAULT_RETRY_POLICY,
    NEWER_OPTIONS,
    google_fields,
    to_google_dead_letter_policy,
    to_google_retry_policy,
)
from rele.resources.provisioner import Provisioner
from rele.resources.resources import PAUSE_WITHOUT_RETRY_POLICY, Resources
from rele.resources.service import create_topic

__all__ = [
    "CANNOT_CHANGE",
    "DEFAULT_RETRY_POLICY",
    "NEWER_OPTIONS",
    "PAUSE_WITHOUT_RETRY_POLICY",
    "Change",
    "Difference",
    "Plan",
    "Provisioner",
    "Resources",
    "advised",
    "create_topic",
    "google_fields",
    "to_google_dead_letter_policy",
    "to_google_retry_policy",
    "update_or_create",
]

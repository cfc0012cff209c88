"""Provisioning topics and subscriptions: read them, plan the changes, apply the plan."""

from rele.resources.changes import CANNOT_CHANGE, Change, Difference, Plan
from rele.resources.creating_first import update_or_create
from rele.resources.desired import (
    DEFAULT_RETRY_POLICY,
    NEWER_OPTIONS,
    google_fields,
    to_google_dead_letter_policy,
    to_google_retry_policy,
)
from rele.resources.parallel_calls import advised
from rele.resources.planning import Resources
from rele.resources.provisioner import (
    PAUSE_WITHOUT_RETRY_POLICY,
    CreateFirstProvisioner,
    PlanningProvisioner,
    Provisioner,
)
from rele.resources.pubsub_calls import create_topic

__all__ = [
    "CANNOT_CHANGE",
    "DEFAULT_RETRY_POLICY",
    "NEWER_OPTIONS",
    "PAUSE_WITHOUT_RETRY_POLICY",
    "Change",
    "CreateFirstProvisioner",
    "Difference",
    "Plan",
    "PlanningProvisioner",
    "Provisioner",
    "Resources",
    "advised",
    "create_topic",
    "google_fields",
    "to_google_dead_letter_policy",
    "to_google_retry_policy",
    "update_or_create",
]

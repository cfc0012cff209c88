"""The activity list's subscription."""

import pytest

from testproject.activity.models import Activity
from testproject.activity.subs import record_activity

pytestmark = pytest.mark.django_db

DATA = {"id": 7, "title": "garden.jpg", "width": 4000, "height": 3000}


def test_a_photo_that_is_ready_is_recorded():
    record_activity(DATA, outcome="ready", published_at="1.0")

    activity = Activity.objects.get()
    assert (activity.photo, str(activity)) == (
        7,
        "garden.jpg joined the gallery: 4000 by 3000 pixels",
    )


def test_a_second_delivery_adds_nothing():
    record_activity(DATA, outcome="ready")
    record_activity(DATA, outcome="ready")

    assert Activity.objects.count() == 1


@pytest.mark.parametrize("attributes", [{"outcome": "failed"}, {}])
def test_other_messages_are_filtered_out(attributes):
    subscription_result = record_activity(DATA, **attributes)

    assert subscription_result is None
    assert not Activity.objects.exists()


def test_its_subscription_has_a_name_of_its_own():
    assert record_activity.name.endswith("photo-processed-activity")

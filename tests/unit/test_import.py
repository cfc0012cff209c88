from __future__ import annotations

from unittest.mock import patch

import pytest

import rele


@pytest.mark.parametrize("name", rele.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(rele, name) is not None
    assert name in dir(rele)


def test_the_names_are_those_of_their_modules() -> None:
    from rele import client, config, publishing, subscription, worker

    assert rele.Publisher is client.Publisher
    assert rele.Subscriber is client.Subscriber
    assert rele.config is config
    assert rele.setup is config.setup
    assert rele.publish is publishing.publish
    assert rele.flush is publishing.flush
    assert rele.sub is subscription.sub
    assert rele.Subscription is subscription.Subscription
    assert rele.Callback is subscription.Callback
    assert rele.Worker is worker.Worker


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'rele' has no attribute 'no_such_name'"):
        _ = rele.no_such_name


def test_what_a_test_puts_in_place_of_a_function_counts_until_it_is_undone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``rele`` keeps the function itself, once it is looked up, but nothing else."""
    from rele import publishing

    monkeypatch.delitem(vars(rele), "publish", raising=False)
    with patch("rele.publishing.publish", autospec=True) as stand_in:
        assert rele.publish is stand_in
    assert rele.publish is publishing.publish
    assert vars(rele)["publish"] is publishing.publish
    with patch("rele.publish") as stand_in:
        assert rele.publish is stand_in
    assert rele.publish is publishing.publish

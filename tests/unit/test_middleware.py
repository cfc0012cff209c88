from __future__ import annotations

import json
import threading
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest

import rele
from rele import config as configuration
from rele.backends.locmem import LocMemBackend
from rele.engine.base import Message
from rele.middleware import (
    BaseMiddleware,
    default_middleware,
    forget_middleware,
    register_middleware,
    run_middleware_hook,
)
from rele.runtime.in_use import IN_USE
from tests.support.in_use import register, without_django
from tests.support.recorder import Recorder, raising

calls: list[tuple[Any, ...]] = []


class First(BaseMiddleware):
    def setup(self, config: Any, **kwargs: Any) -> None:
        calls.append(("First", config, kwargs))

    def post_worker_start(self) -> None:
        calls.append(("First", "post_worker_start"))


class Second(First):
    def post_worker_start(self) -> None:
        calls.append(("Second", "post_worker_start"))


class CountsMessages(BaseMiddleware):
    def setup(self, config: Any, **kwargs: Any) -> None:
        calls.append(("setup",))

    def pre_process_message(self, subscription: Any, message: Message) -> None:
        calls.append(("pre_process",))

    def post_process_message_success(self, *args: Any) -> None:
        calls.append(("success",))

    def post_process_message(self) -> None:
        calls.append(("post_process",))


class PublishesNothing(BaseMiddleware):
    def pre_publish(self, topic: str, data: Any, attrs: dict[str, Any]) -> None:
        raise ValueError("refused by the settings' middleware")


class Broken(BaseMiddleware):
    def setup(self, config: Any, **kwargs: Any) -> None:
        raise ValueError("no key")


class PublishesAtSetup(BaseMiddleware):
    def setup(self, config: Any, **kwargs: Any) -> None:
        rele.publish("photos", "from setup")

    def pre_publish(self, topic: str, data: Any, attrs: dict[str, Any]) -> None:
        calls.append(("PublishesAtSetup", data))


class Replaces(BaseMiddleware):
    def setup(self, config: Any, **kwargs: Any) -> None:
        register_middleware(globals()["config"]("First"))


class Slow(First):
    begun = threading.Event()
    may_end = threading.Event()

    def setup(self, config: Any, **kwargs: Any) -> None:
        self.begun.set()
        assert self.may_end.wait(10)


@pytest.fixture
def no_project(monkeypatch: pytest.MonkeyPatch) -> None:
    """No Django project whose settings could be read."""
    without_django(monkeypatch)


@pytest.fixture(autouse=True)
def _forget_calls() -> None:
    calls.clear()


def config(*names: str) -> Any:
    return SimpleNamespace(middleware=[f"{__name__}.{name}" for name in names])


def test_hooks_run_in_the_order_of_the_setting() -> None:
    register_middleware(config("Second", "First"))
    calls.clear()

    run_middleware_hook("post_worker_start")

    assert calls == [("Second", "post_worker_start"), ("First", "post_worker_start")]


def test_setup_gets_the_configuration_and_the_keywords() -> None:
    settings = config("First")

    register_middleware(settings, flask_app="app")

    assert calls == [("First", settings, {"flask_app": "app"})]


def test_registering_replaces_what_was_registered() -> None:
    register_middleware(config("First"))
    register_middleware(config("Second"))
    calls.clear()

    run_middleware_hook("post_worker_start")

    assert calls == [("Second", "post_worker_start")]


def test_what_setup_raises_reaches_the_caller_and_the_former_ones_stay() -> None:
    register_middleware(config("First"))
    calls.clear()

    with pytest.raises(ValueError, match="no key"):
        register_middleware(config("Second", "Broken"))

    calls.clear()
    run_middleware_hook("post_worker_start")
    assert calls == [("First", "post_worker_start")]


@pytest.mark.parametrize("path", ["rele.contrib.Nothing", "no_such_module.Middleware"])
def test_a_path_that_leads_nowhere_is_an_error(path: str) -> None:
    with pytest.raises((ImportError, AttributeError), match=path.split(".")[-1] + "|" + path[:9]):
        register_middleware(SimpleNamespace(middleware=[path]))


@pytest.mark.usefixtures("no_project")
def test_forgotten_middleware_runs_no_hook() -> None:
    register_middleware(config("First"))
    calls.clear()
    forget_middleware()

    run_middleware_hook("post_worker_start")

    assert calls == []


@pytest.mark.parametrize("error", [ValueError("boo"), SystemExit(3), GeneratorExit()])
def test_a_hook_that_raises_is_logged_by_name_and_stops_nothing(
    hooks: Recorder,
    error: BaseException,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hooks.actions["post_worker_start"] = raising(error)
    second = Recorder()
    register(hooks, second)

    run_middleware_hook("post_worker_start")

    assert second.names == ["post_worker_start"]
    [record] = caplog.records
    assert record.levelname == "ERROR"
    assert "post_worker_start of Recorder" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_what_pre_publish_raises_reaches_the_caller(hooks: Recorder) -> None:
    hooks.actions["pre_publish"] = raising(ValueError("not this"))

    with pytest.raises(ValueError, match="not this"):
        run_middleware_hook("pre_publish", "topic", {}, {})


def test_ctrl_c_during_a_hook_reaches_the_main_thread(hooks: Recorder) -> None:
    hooks.actions["post_worker_start"] = raising(KeyboardInterrupt())

    with pytest.raises(KeyboardInterrupt):
        run_middleware_hook("post_worker_start")


def test_a_keyboard_interrupt_of_another_thread_is_an_error_of_the_hook(
    hooks: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    hooks.actions["post_worker_start"] = raising(KeyboardInterrupt())
    thread = threading.Thread(target=run_middleware_hook, args=["post_worker_start"])

    thread.start()
    thread.join(10)

    assert "post_worker_start of Recorder" in caplog.text


def test_a_class_that_is_no_base_middleware_needs_only_the_hooks_that_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[bool] = []
    plain = SimpleNamespace(
        setup=lambda config: None, post_worker_start=lambda: started.append(True)
    )
    register(plain)

    run_middleware_hook("pre_worker_start")
    run_middleware_hook("post_worker_start")

    assert started == [True]


def test_defining_a_deprecated_hook_warns_and_names_its_successor() -> None:
    with pytest.warns(DeprecationWarning, match=r"Old defines.*post_publish_success instead"):

        class Old(BaseMiddleware):
            def post_publish(self, topic: str) -> None: ...


def test_a_deprecated_hook_still_runs(rele_messages: list[Any]) -> None:
    with pytest.warns(DeprecationWarning, match="define post_publish_success instead"):

        class Old(BaseMiddleware):
            def post_publish(self, topic: str) -> None:
                calls.append(("Old", topic))

    globals()["Old"] = Old
    rele.setup({"MIDDLEWARE": [f"{__name__}.Old"]})

    rele.publish("photos", 1)

    assert calls == [("Old", "photos")]


def test_the_default_middleware_can_be_registered() -> None:
    register_middleware(SimpleNamespace(middleware=default_middleware, app_name="app"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hook", "arguments"),
    [
        ("setup", (None,)),
        ("pre_publish", ("topic", {}, {})),
        ("post_publish_success", ("topic", {}, {})),
        ("post_publish_failure", ("topic", ValueError(), b"")),
        ("pre_process_message", (None, None)),
        ("post_process_message", ()),
        ("post_process_message_success", (None, 0.0, None)),
        ("post_process_message_failure", (None, ValueError(), 0.0, None)),
        ("pre_worker_start", ()),
        ("post_worker_start", ()),
        ("pre_worker_stop", ([],)),
        ("post_worker_stop", ()),
    ],
)
def test_the_base_class_has_every_hook_of_the_reference(
    hook: str, arguments: tuple[Any, ...]
) -> None:
    assert getattr(BaseMiddleware(), hook)(*arguments) is None


def handle(message: Message) -> None:
    """As a project may do it: with a Callback that it builds itself."""
    rele.Callback(rele.Subscription(lambda data, **attributes: None, "photos"))(message)


class TestSettingsOfTheProject:
    """``settings.RELE`` counts at the first hook, whatever runs it, where nothing was set up."""

    @pytest.fixture(autouse=True)
    def _settings(self, settings: Any) -> None:
        settings.RELE = {"MIDDLEWARE": [f"{__name__}.First"]}

    def use(self, settings: Any, *names: str) -> None:
        settings.RELE = {"MIDDLEWARE": [f"{__name__}.{name}" for name in names]}

    def test_a_callback_runs_them(self, deliver: Any, settings: Any) -> None:
        delivery = deliver()
        self.use(settings, "CountsMessages")

        handle(delivery.message)

        assert [call[0] for call in calls] == ["setup", "pre_process", "success", "post_process"]
        assert delivery.settlements() == ["ack"]

    def test_a_worker_that_is_built_directly_runs_them(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("rele.worker.check_internet_connection", lambda address: True)
        with patch("rele.client.pubsub_v1.SubscriberClient"):
            rele.Worker([], None, "shop").start()

        assert [call[1] for call in calls[1:]] == ["post_worker_start"]

    def test_a_publisher_that_is_built_directly_runs_them(self, settings: Any) -> None:
        self.use(settings, "PublishesNothing")
        publisher = rele.Publisher(None, None, json.JSONEncoder, 1, None, backend=LocMemBackend())

        with pytest.raises(ValueError, match="refused by the settings' middleware"):
            publisher.publish("photos", 1)

    def test_they_are_set_up_once_and_by_the_configuration_that_publishes(
        self, rele_messages: list[Any]
    ) -> None:
        run_middleware_hook("post_worker_start")
        rele.publish("photos", 1)
        run_middleware_hook("post_worker_start")

        [set_up] = [call for call in calls if len(call) == 3]
        assert set_up[1] is configuration.current()

    def test_an_explicit_setup_is_not_overridden(self, rele_messages: list[Any]) -> None:
        rele.setup({"MIDDLEWARE": [f"{__name__}.Second"]})
        calls.clear()

        run_middleware_hook("post_worker_start")
        rele.publish("photos", 1)
        run_middleware_hook("post_worker_start")

        assert calls == [("Second", "post_worker_start")] * 2

    def test_an_explicit_registration_is_not_overridden(self, rele_messages: list[Any]) -> None:
        register_middleware(config("Second"))
        calls.clear()

        run_middleware_hook("post_worker_start")
        rele.publish("photos", 1)
        run_middleware_hook("post_worker_start")

        assert calls == [("Second", "post_worker_start")] * 2

    def test_settings_that_are_overridden_count(self, settings: Any) -> None:
        run_middleware_hook("post_worker_start")
        self.use(settings, "Second")
        calls.clear()

        run_middleware_hook("post_worker_start")

        assert calls[-1] == ("Second", "post_worker_start")

    def test_without_the_setting_the_default_counts(
        self, settings: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        del settings.RELE

        with caplog.at_level("INFO"):
            run_middleware_hook("pre_worker_stop", [])

        assert "Cleaning up 0 subscription(s)" in caplog.text

    def test_a_middleware_that_publishes_while_it_is_set_up(
        self, settings: Any, rele_messages: list[Any]
    ) -> None:
        self.use(settings, "PublishesAtSetup")

        rele.publish("photos", "later")

        assert [message.json() for message in rele_messages] == ["from setup", "later"]
        assert calls == [("PublishesAtSetup", "later")]

    def test_what_a_setup_registers_explicitly_stays(self, settings: Any) -> None:
        self.use(settings, "Replaces")

        run_middleware_hook("post_worker_start")

        assert calls[-1] == ("First", "post_worker_start")

    def test_other_threads_wait_for_the_setup(self, settings: Any) -> None:
        self.use(settings, "Slow")
        Slow.begun.clear()
        Slow.may_end.clear()
        threads = [
            threading.Thread(target=run_middleware_hook, args=["post_worker_start"])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        assert Slow.begun.wait(10)
        Slow.may_end.set()
        for thread in threads:
            thread.join(10)

        assert calls == [("First", "post_worker_start")] * 4

    def test_in_a_forked_child_a_setup_that_the_parent_had_begun_holds_nothing_up(
        self, settings: Any
    ) -> None:
        self.use(settings, "Slow")
        Slow.begun.clear()
        Slow.may_end.clear()
        thread = threading.Thread(target=run_middleware_hook, args=["post_worker_start"])
        thread.start()
        assert Slow.begun.wait(10)
        try:
            IN_USE.renew_locks()  # as the child does
            register_middleware(config("First"))
        finally:
            Slow.may_end.set()
            thread.join(10)

    @pytest.mark.parametrize("path", ["no.such.Middleware", f"{__name__}.Broken"])
    def test_what_cannot_be_set_up_is_raised_before_anything_and_logged_after(
        self,
        settings: Any,
        deliver: Any,
        rele_messages: list[Any],
        caplog: pytest.LogCaptureFixture,
        path: str,
    ) -> None:
        settings.RELE = {"MIDDLEWARE": [path]}
        delivery = deliver()

        for _ in range(2):
            with pytest.raises((ImportError, ValueError), match="no"):
                rele.publish("photos", 1)
        with pytest.raises((ImportError, ValueError), match="no"):
            run_middleware_hook("pre_worker_start")
        handle(delivery.message)

        assert delivery.settlements() == ["ack"]
        assert "the middleware of the settings cannot be set up" in caplog.text
        assert rele_messages == []


@pytest.mark.usefixtures("no_project")
def test_without_any_settings_there_are_no_hooks_and_no_error(
    deliver: Any, caplog: pytest.LogCaptureFixture
) -> None:
    delivery = deliver()

    handle(delivery.message)

    assert delivery.settlements() == ["ack"]
    assert caplog.records == []


class Asynchronous(BaseMiddleware):
    async def pre_publish(self, *args: Any) -> None:  # type: ignore[override]
        calls.append(("pre_publish",))

    async def post_process_message_success(self, *args: Any) -> None:  # type: ignore[override]
        calls.append(("success",))

    async def post_worker_stop(self) -> None:  # type: ignore[override]
        calls.append(("stop",))


class SetUpAsynchronously(BaseMiddleware):
    async def setup(self, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        calls.append(("setup",))


class TestAHookThatIsAnAsyncDef:
    def test_of_a_message_runs_to_its_end(self) -> None:
        register(Asynchronous())

        run_middleware_hook("post_process_message_success", None, 0, None)

        assert calls == [("success",)]

    def test_of_the_worker_is_an_error_in_the_log(self, caplog: pytest.LogCaptureFixture) -> None:
        register(Asynchronous())

        run_middleware_hook("post_worker_stop")

        assert "The hook post_worker_stop of Asynchronous returned a coroutine" in caplog.text

    def test_is_an_error_of_the_caller_where_a_hook_may_refuse(self) -> None:
        register(Asynchronous())

        with pytest.raises(RuntimeError, match="pre_publish of Asynchronous returned a coroutine"):
            run_middleware_hook("pre_publish", "orders", 1, {})

    def test_is_refused_at_setup(self) -> None:
        with pytest.raises(RuntimeError, match="returned a coroutine"):
            register(SetUpAsynchronously())

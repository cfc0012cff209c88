from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from rele.middleware import (
    BaseMiddleware,
    default_middleware,
    forget_middleware,
    register_middleware,
    run_middleware_hook,
)
from tests.unit.conftest import Hooks, raising

calls: list[tuple[Any, ...]] = []


class First(BaseMiddleware):
    def setup(self, config: Any, **kwargs: Any) -> None:
        calls.append(("First", config, kwargs))

    def post_worker_start(self) -> None:
        calls.append(("First", "post_worker_start"))


class Second(First):
    def post_worker_start(self) -> None:
        calls.append(("Second", "post_worker_start"))


class Broken(BaseMiddleware):
    def setup(self, config: Any, **kwargs: Any) -> None:
        raise ValueError("no key")


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
def test_a_path_that_leads_nowhere_is_told(path: str) -> None:
    with pytest.raises((ImportError, AttributeError), match=path.split(".")[-1] + "|" + path[:9]):
        register_middleware(SimpleNamespace(middleware=[path]))


def test_forgotten_middleware_runs_no_hook() -> None:
    register_middleware(config("First"))
    calls.clear()
    forget_middleware()

    run_middleware_hook("post_worker_start")

    assert calls == []


@pytest.mark.parametrize("error", [ValueError("boo"), SystemExit(3), GeneratorExit()])
def test_a_hook_that_raises_is_logged_by_name_and_stops_nothing(
    hooks: Hooks,
    error: BaseException,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hooks.actions["post_worker_start"] = raising(error)
    second = Hooks()
    monkeypatch.setattr("rele.middleware._middlewares", [hooks, second])

    run_middleware_hook("post_worker_start")

    assert second.names == ["post_worker_start"]
    [record] = caplog.records
    assert record.levelname == "ERROR"
    assert "post_worker_start of Hooks" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_what_pre_publish_raises_reaches_the_caller(hooks: Hooks) -> None:
    hooks.actions["pre_publish"] = raising(ValueError("not this"))

    with pytest.raises(ValueError, match="not this"):
        run_middleware_hook("pre_publish", "topic", {}, {})


def test_ctrl_c_during_a_hook_reaches_the_main_thread(hooks: Hooks) -> None:
    hooks.actions["post_worker_start"] = raising(KeyboardInterrupt())

    with pytest.raises(KeyboardInterrupt):
        run_middleware_hook("post_worker_start")


def test_a_keyboard_interrupt_of_another_thread_is_an_error_of_the_hook(
    hooks: Hooks, caplog: pytest.LogCaptureFixture
) -> None:
    hooks.actions["post_worker_start"] = raising(KeyboardInterrupt())
    thread = threading.Thread(target=run_middleware_hook, args=["post_worker_start"])

    thread.start()
    thread.join(10)

    assert "post_worker_start of Hooks" in caplog.text


def test_a_class_that_is_no_base_middleware_needs_only_the_hooks_that_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[bool] = []
    plain = SimpleNamespace(post_worker_start=lambda: started.append(True))
    monkeypatch.setattr("rele.middleware._middlewares", [plain])

    run_middleware_hook("pre_worker_start")
    run_middleware_hook("post_worker_start")

    assert started == [True]


def test_defining_a_deprecated_hook_warns_and_names_its_successor() -> None:
    with pytest.warns(DeprecationWarning, match=r"Old defines.*post_publish_success instead"):

        class Old(BaseMiddleware):
            def post_publish(self, topic: str) -> None: ...


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

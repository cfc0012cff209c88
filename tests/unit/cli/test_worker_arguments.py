from __future__ import annotations

import argparse

import pytest

from rele.cli.worker_arguments import add_own_worker_arguments, number_of_processes
from rele.runtime.cores import usable_cores


def test_processes_are_a_number_or_as_many_as_there_are_cores() -> None:
    assert number_of_processes("3") == 3
    assert number_of_processes("auto") == usable_cores()


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", "1001"])
def test_another_number_of_processes_is_an_error_that_names_auto(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="auto is as many as there are cores"):
        number_of_processes(text)


def test_nothing_is_limited_or_chosen_by_default() -> None:
    parser = argparse.ArgumentParser()
    add_own_worker_arguments(parser)

    assert {value or None for value in vars(parser.parse_args([])).values()} == {None}

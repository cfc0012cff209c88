"""As much of PromQL as it takes to say whether a query asks for what is there.

It knows the syntax that the project's dashboard, alerts and scalers use, and refuses any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

OF_COUNTERS = {"rate", "irate", "increase"}
OF_GAUGES = {"min_over_time", "max_over_time", "avg_over_time", "delta", "deriv"}
AGGREGATIONS = {"sum", "min", "max", "avg", "count"}
BINARY = {"or": 1, "and": 2, "unless": 2, "==": 3, "!=": 3, ">": 3, "<": 3, ">=": 3, "<=": 3}
BINARY |= {"+": 4, "-": 4, "*": 5, "/": 5}

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<string>"(?:[^"\\]|\\.)*")
    |(?P<duration>\d+[smhd])
    |(?P<number>\d+(?:\.\d+)?)
    |(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
    |(?P<sign>=~|!~|==|!=|>=|<=|[-+*/<>=(){}\[\],])
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Metric:
    """What a server knows of a metric: its type, and the labels of its samples."""

    type: str
    labels: frozenset[str]


@dataclass(frozen=True)
class Result:
    """What an expression gives: the labels that it has, and whether it is a range of samples."""

    labels: frozenset[str] | None = frozenset()
    """``None`` of a number, which fits any labels."""
    metric: str | None = None
    """The metric that it selects, while it does nothing else."""
    is_range: bool = False
    is_rate_of_buckets: bool = False


class QueryError(Exception):
    """A query asks for what is not there."""


def check(query: str, metrics: Mapping[str, Metric]) -> None:
    """Check that each metric and label of ``query`` is there, and fits what is made of it.

    Args:
        query: in PromQL.
        metrics: by the name of the samples, so that a histogram has three.

    Raises:
        QueryError: it asks for what is not there, or is not understood.
    """
    checker = _Checker(query, metrics)
    result = checker.expression(0)
    checker.expect_end()
    if result.is_range:
        raise QueryError(f"{query}: it gives a range")


class _Checker:
    def __init__(self, query: str, metrics: Mapping[str, Metric]) -> None:
        self._query = query
        self._metrics = metrics
        self._tokens = list(_tokens(query))

    def expression(self, least: int) -> Result:
        left = self._operand()
        while (operator := self._next()) in BINARY and BINARY[operator] >= least:
            self._take()
            labels = left.labels
            if self._next() in ("on", "ignoring"):
                is_on = self._take() == "on"
                named = self._label_names()
                if is_on:
                    labels = named
                else:
                    self._fail("`ignoring` is not understood")
            right = self.expression(BINARY[operator] + 1)
            self._compare(left, right, labels)
            left = Result(right.labels if left.labels is None else left.labels)
        return left

    def expect_end(self) -> None:
        if self._tokens:
            self._fail(f"{self._tokens[0]!r} is not expected")

    def _compare(self, left: Result, right: Result, on: frozenset[str] | None) -> None:
        for side in (left, right):
            if side.is_range:
                self._fail("a range has no value to compare")
            if side.labels is not None and on is not None and not on <= side.labels:
                self._fail(f"one side has the labels {sorted(side.labels)}, not {sorted(on)}")
        both = left.labels is not None and right.labels is not None
        if both and left.labels == on and right.labels != on:
            self._fail("the two sides have different labels: nothing would match")

    def _operand(self) -> Result:
        token = self._take()
        if token == "(":
            result = self.expression(0)
            self._expect(")")
            return result
        if token[0].isdigit():
            return Result(None)
        if token in AGGREGATIONS:
            return self._aggregation()
        if self._next() == "(":
            return self._call(token)
        return self._selector(token)

    def _aggregation(self) -> Result:
        named = frozenset[str]()
        if self._next() == "by":
            self._take()
            named = self._label_names()
        [argument] = self._arguments()
        if argument.is_range or argument.labels is None:
            self._fail("an aggregation needs samples of one time")
        if missing := named - (argument.labels or frozenset()):
            self._fail(f"there are no labels {sorted(missing)}")
        return Result(named, is_rate_of_buckets=argument.is_rate_of_buckets)

    def _call(self, function: str) -> Result:
        arguments = self._arguments()
        if function == "histogram_quantile":
            share, buckets = arguments
            if share.labels is not None or not buckets.is_rate_of_buckets:
                self._fail("histogram_quantile needs the rate of a histogram's buckets")
            if "le" not in (buckets.labels or frozenset()):
                self._fail("histogram_quantile needs the label le")
            return Result((buckets.labels or frozenset()) - {"le"})
        if function in ("absent", "vector"):
            return Result()
        if function not in OF_COUNTERS | OF_GAUGES:
            self._fail(f"the function {function} is not known")
        [samples] = arguments
        if not samples.is_range or samples.metric is None:
            self._fail(f"{function} needs a range")
        kind = self._metrics[str(samples.metric)].type
        if (kind in ("counter", "histogram")) != (function in OF_COUNTERS):
            self._fail(f"{function} does not fit {samples.metric}, a {kind}")
        is_buckets = kind == "histogram" and str(samples.metric).endswith("_bucket")
        return Result(samples.labels, is_rate_of_buckets=is_buckets)

    def _selector(self, name: str) -> Result:
        metric = self._metrics.get(name)
        if metric is None:
            self._fail(f"there is no metric {name}")
        matched = self._matchers() if self._next() == "{" else frozenset[str]()
        if missing := matched - metric.labels:
            self._fail(f"{name} has no labels {sorted(missing)}, but {sorted(metric.labels)}")
        is_range = self._next() == "["
        if is_range:
            self._take()
            if not re.fullmatch(r"\d+[smhd]", self._take()):
                self._fail("a range needs a duration")
            self._expect("]")
        elif metric.type in ("counter", "histogram"):
            self._fail(f"{name} only grows: its rate is meant")
        return Result(metric.labels, name, is_range)

    def _matchers(self) -> frozenset[str]:
        self._expect("{")
        names = set()
        while self._next() != "}":
            names.add(self._take())
            if self._take() not in ("=", "!=", "=~", "!~") or not self._take().startswith('"'):
                self._fail("a matcher is LABEL=~VALUE")
            if self._next() == ",":
                self._take()
        self._take()
        return frozenset(names)

    def _label_names(self) -> frozenset[str]:
        self._expect("(")
        names = set()
        while (token := self._take()) != ")":
            if token != ",":
                names.add(token)
        return frozenset(names)

    def _arguments(self) -> list[Result]:
        self._expect("(")
        arguments = []
        while True:
            arguments.append(self.expression(0))
            if self._take() == ")":
                return arguments

    def _next(self) -> str:
        return self._tokens[0] if self._tokens else ""

    def _take(self) -> str:
        if not self._tokens:
            self._fail("it ends too early")
        return self._tokens.pop(0)

    def _expect(self, token: str) -> None:
        if (found := self._take()) != token:
            self._fail(f"{found!r} stands where {token!r} should")

    def _fail(self, reason: str) -> None:
        raise QueryError(f"{self._query.strip()}: {reason}")


def _tokens(query: str) -> Iterator[str]:
    position = 0
    query = query.rstrip()
    while position < len(query):
        found = _TOKEN.match(query, position)
        if found is None:
            raise QueryError(f"{query}: {query[position:]!r} is not understood")
        yield found.group().strip()
        position = found.end()

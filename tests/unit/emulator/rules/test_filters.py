"""The filter grammar."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rele.emulator.rules.filters import FilterSyntaxError, compile_filter

MESSAGES: list[dict[str, str]] = [
    {"name": "com", "lang": "jp"},
    {"name": "org", "lang": "jp"},
    {"name": "com"},
    {"name": "co", "lang": "en"},
    {"lang": "jp"},
    {"iana.org/tag": "jp", "a-b": '"x"'},
    {},
]


def matching(text: str) -> list[int]:
    matches = compile_filter(text)
    return [index for index, attributes in enumerate(MESSAGES) if matches(attributes)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("attributes:name", [0, 1, 2, 3]),
        ('attributes:"name"', [0, 1, 2, 3]),
        ('attributes.name = "com"', [0, 2]),
        ('attributes.name="com"', [0, 2]),
        ('attributes.name != "com"', [1, 3, 4, 5, 6]),
        ('hasPrefix(attributes.name, "co")', [0, 2, 3]),
        ('hasPrefix ( attributes . name , "co" )', [0, 2, 3]),
        ('NOT hasPrefix(attributes.name, "co")', [1, 4, 5, 6]),
        ("NOT attributes:name", [4, 5, 6]),
        ("-attributes:name", [4, 5, 6]),
        ('attributes.name = "com" AND -attributes:lang', [2]),
        ('attributes:name AND attributes:lang AND attributes.lang = "en"', [3]),
        ('attributes.name = "org" OR attributes.lang = "en" OR attributes:a-b', [1, 3, 5]),
        ('(NOT attributes:name) OR attributes.name = "co"', [3, 4, 5, 6]),
        ('NOT (attributes:name OR attributes.lang = "jp")', [5, 6]),
        ('attributes:name AND (attributes.lang = "en" OR NOT attributes:lang)', [2, 3]),
        ("NOT attributes:name AND attributes:lang", [4]),
        ("((attributes:name))", [0, 1, 2, 3]),
        ("\n\tattributes:name ", [0, 1, 2, 3]),
        ('attributes."iana.org/tag" = "jp"', [5]),
        ('attributes.a-b = "\\"x\\""', [5]),
        ('attributes.a-b = "\\u0022\\x78\\42"', [5]),
        ("attributes:AND OR attributes:attributes", []),
    ],
)
def test_what_matches(text: str, expected: list[int]) -> None:
    assert matching(text) == expected


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("みんな", "みんな"),
        ("\\u307F\\u3093\\u306A", "みんな"),
        ("\\U0001F600", "\U0001f600"),
        ("\\343\\201\\277", "み"),
        ("\\xe3\\x81\\xbf", "み"),
        ("\\\\\\n\\t\\'", "\\\n\t'"),
        ("", ""),
    ],
)
def test_strings_and_their_escapes(literal: str, value: str) -> None:
    assert compile_filter(f'attributes.k = "{literal}"')({"k": value})


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("garbage (", "expected attributes, hasPrefix, NOT or ( at position 1"),
        ('data = "x"', "expected attributes, hasPrefix, NOT or ( at position 1"),
        ("attributes", "expected . at position 11"),
        ("attributes.name", "expected = or != at position 16"),
        ("attributes.name = com", "expected a value in double quotes at position 19"),
        ('attributes.name > "a"', "unexpected '>' at position 17"),
        ("attributes.name = 'a'", 'unexpected "\'" at position 19'),
        ('attributes.name = "a', "a string without a closing quote at position 19"),
        ("attributes:a and attributes:b", "expected AND, OR or the end at position 14"),
        (
            "attributes:a AND attributes:b OR attributes:c",
            "AND and OR can only be mixed with parentheses at position 31",
        ),
        ("attributes:a AND", "expected attributes, hasPrefix, NOT or ( at position 17"),
        ('hasPrefix(attributes.name, "a"', "expected ) at position 31"),
        ('hasPrefix(attributes:name, "a")', "expected . at position 21"),
        ("NOT NOT attributes:a", "expected attributes, hasPrefix, NOT or ( at position 5"),
        ('hasSuffix(attributes.a, "b")', "expected attributes, hasPrefix, NOT or ( at position 1"),
        ("(attributes:a", "expected ) at position 14"),
        ("attributes:a)", "expected AND, OR or the end at position 13"),
        ("attributes:(a)", "expected a key at position 12"),
        ('attributes:a "b"', "expected AND, OR or the end at position 14"),
        (" ", "expected attributes, hasPrefix, NOT or ( at position 2"),
        ('attributes.a = "x\\q"', "an invalid escape sequence at position 18"),
        ('attributes.a = "\\777"', "an invalid escape sequence at position 17"),
        ('attributes.a = "\\ud800"', "an invalid escape sequence at position 17"),
        ('attributes.a = "\\xff"', "a string that is not UTF-8 at position 16"),
        ("(" * 200, "more than 64 nested parentheses at position 65"),
    ],
)
def test_what_is_no_filter_is_refused_with_the_position(text: str, error: str) -> None:
    with pytest.raises(FilterSyntaxError) as raised:
        compile_filter(text)

    assert str(raised.value) == error


@given(
    st.lists(
        st.sampled_from(
            [*'()-:.,="\\ \n', "!=", "attributes", "hasPrefix", "AND", "OR", "NOT", "k", '"v"', "é"]
        ),
        max_size=60,
    ).map("".join)
)
def test_any_text_is_a_filter_or_refused(text: str) -> None:
    assert outcome(text) in (True, False, *range(1, len(text) + 2))


def outcome(text: str) -> int:
    """Whether a message matches, or the position at which the text is wrong."""
    try:
        return compile_filter(text)({"k": "v"})
    except FilterSyntaxError as error:
        return error.position

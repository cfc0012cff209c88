"""Payloads at the edges of JSON, and whether two values that were read from one are the same."""

from __future__ import annotations

from typing import Any

EDGES: dict[str, bytes] = {
    "an integer of 64 bits": b"[9223372036854775807, -9223372036854775808]",
    "an unsigned integer of 64 bits": b"18446744073709551615",
    "an integer of 65 bits": b"18446744073709551616",
    "a negative integer of 65 bits": b"[-9223372036854775809, -18446744073709551616]",
    "an integer of 4,300 digits": b"1" * 4300,
    "more digits than Python reads": b"1" * 4301,
    "a float of 5,000 digits": b"1" * 5000 + b".5",
    "an integer as a float": b"[1.0, 1E0, 10e-1, 123456789012345678901234567890.0]",
    "floats that are rounded": b"[0.1, 0.30000000000000004, 9007199254740993.0, 1.1e-400]",
    "the smallest floats": b"[5e-324, 2.4703282292062327e-324, 2.4703282292062328e-324, -1e-400]",
    "the greatest float": b"1.7976931348623157e308",
    "a float above the greatest": b"[1.7976931348623159e308, 1e400, -1E400]",
    "negative zeros": b"[-0, -0.0, 0e5]",
    "NaN": b"[NaN, Infinity, -Infinity]",
    "nan": b"nan",
    "an infinity that is misspelt": b"-Inf",
    "a leading zero": b"01",
    "a negative leading zero": b"-01",
    "a plus": b"+1",
    "a point without digits": b"[1.]",
    "a point in front": b".5",
    "an exponent without digits": b"1e+",
    "a minus alone": b"-",
    "an underscore": b"1_000",
    "digits of another script": "\uff11".encode(),
    "a duplicate key": b'{"a": 1, "b": 2, "a": 3}',
    "an empty key": b'{"": {"": []}}',
    "a key that is no string": b"{1: 2}",
    "a surrogate pair": b'"\\ud83d\\ude00"',
    "half of a surrogate pair": b'"\\ud800"',
    "the other half": b'{"\\udc00\\ud800": "\\ud800x"}',
    "a surrogate in UTF-8": b'"\xed\xa0\x80"',
    "an overlong character": b'"\xc0\x80"',
    "a character beyond Unicode": b'"\xf4\x90\x80\x80"',
    "a character that is cut off": b'"\xf0\x9f\x98"',
    "bytes that are no UTF-8 outside of strings": b"[1, \xff2]",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "UTF-16 without a mark": b"1\x00",
    "UTF-32 without a mark": b"1\x00\x00\x00",
    "a control character": b'"a\x01b"',
    "a tab in a string": b'"\t"',
    "a line break in a string": b'"a\nb"',
    "a NUL": b'"a\x00b"',
    "an escaped NUL": b'"\\u0000"',
    "a DEL": b'"\x7f"',
    "a line separator": '"\u2028"'.encode(),
    "escapes": b'"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4"',
    "an escape that JSON has not": b'"\\x41"',
    "an escape that is misspelt": b'["\\u12G4"]',
    "an escape with a sign": b'"\\u+123"',
    "an escape that is cut off": b'"\\u12',
    "nothing": b"",
    "spaces alone": b" \t\r\n",
    "spaces around": b" \t\r\n[ 1 , 2 ] \t\r\n",
    "another space": b"\x0c1",
    "a no-break space": b"\xc2\xa01",
    "two values": b"{} {}",
    "a value and a letter": b"{}x",
    "a value and a NUL": b"1\x00",
    "a trailing comma": b"[1,]",
    "a trailing comma in an object": b'{"a": 1,}',
    "a missing comma": b"[1 2]",
    "a missing colon": b'{"a" 1}',
    "a comment": b"// none\n1",
    "single quotes": b"{'a': 1}",
    "a constant that is cut off": b"tru",
    "constants": b"[null, true, false]",
    "nested 900 times": b"[" * 900 + b"1" + b"]" * 900,
    "objects nested 900 times": b'{"a":' * 900 + b"1" + b"}" * 900,
    "nested too deep": b"[" * 200_000 + b"]" * 200_000,
    "nested too deep and not closed": b'{"a":' * 200_000,
}


def are_same(one: Any, other: Any) -> bool:
    """Whether two values are equal, of the same types and with their keys in the same order."""
    left = [(one, other)]
    while left:  # not recursive: they may be nested deeply
        one, other = left.pop()
        if type(one) is not type(other):
            return False
        if isinstance(one, dict):
            if list(one) != list(other):
                return False
            left += zip(one.values(), other.values(), strict=True)
        elif isinstance(one, list):
            if len(one) != len(other):
                return False
            left += zip(one, other, strict=True)
        elif repr(one) != repr(other) if isinstance(one, float) else one != other:
            return False
    return True

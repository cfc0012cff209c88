"""What a project's own ``LOGGING`` can use: fields of the message, JSON lines, fewer repeats."""

from rele.logs.json_lines import JsonFormatter
from rele.logs.message_filter import MessageFilter
from rele.logs.repeats import RepeatFilter
from rele.messages.redaction import hide_secrets

__all__ = ["JsonFormatter", "MessageFilter", "RepeatFilter", "hide_secrets"]

"""Traces and metrics of messages, by OpenTelemetry's conventions for messaging."""

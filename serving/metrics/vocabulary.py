"""The words that metrics know. What is not among them is counted as `OTHER`: no label holds what a client sent."""

from http import HTTPStatus

OTHER = "other"
ROUTES = (
    "infer",
    "invocations",
    "server",
    "live",
    "ready",
    "model",
    "model_ready",
    "ping",
    "version",
    "docs",
    "openapi",
    "metrics",
    "none",  # there was no such path, or no request yet
    OTHER,
)
STATUSES = (*(status.value for status in HTTPStatus if status >= 200), 0)
CODES = (
    "body_too_large",
    "deadline_exceeded",
    "expectation_failed",
    "forbidden",
    "head_too_large",
    "internal",
    "invalid_credential",
    "invalid_input",
    "invalid_request",
    "keys_unavailable",
    "malformed_http",
    "malformed_json",
    "method_not_allowed",
    "no_finite_answer",
    "not_found",
    "not_ready",
    "overloaded",
    "slow_client",
    "too_many_connections",
    "too_many_requests",
    "too_many_rows",
    "unauthorized",
    "unknown_model",
    "unknown_version",
    "unsupported_encoding",
    "unsupported_media_type",
    "unsupported_method",
    "unsupported_transfer_encoding",
    "unsupported_version",
    OTHER,
)

"""What a request that cannot be answered gets: a status code and OpenAI's error body.

    raise Refusal(404, 'There is no model "x".', param="model", code="model_not_found")

The tree of errors.py maps onto the same body; a text of the request never stands in one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

from tuneproof.errors import DataError, Error

TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    421: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    499: "client_closed_request",
    500: "server_error",
    503: "server_error",
    504: "timeout_error",
}


class Refusal(Exception):
    """An answer with a status of 400 or more; ``after`` is the Retry-After header in seconds."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str = "", after: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.after = after

    @property
    def body(self) -> dict[str, Any]:
        return {
            "error": {
                "message": self.message,
                "type": TYPES[self.status],
                "param": self.param,
                "code": self.code or None,
            }
        }

    @property
    def response(self) -> JSONResponse:
        headers = {"retry-after": str(self.after)} if self.after else {}
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return JSONResponse(self.body, status_code=self.status, headers=headers)


def refusal(error: Error) -> Refusal:
    """An error of ours as an answer: a row that cannot be used is the caller's fault, everything else is ours."""
    if isinstance(error, DataError):
        return Refusal(422, str(error), code="unusable_input")
    return Refusal(500, "The model could not answer.", code="internal_error")

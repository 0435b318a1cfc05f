"""One connection: the head of a request has ten seconds to arrive, as its body has (guard.py).

    uvicorn.Config(app, http=Connection)

uvicorn waits for a head as long as its bytes come; whoever sends one byte a minute would keep a connection for days.
"""

from __future__ import annotations

import asyncio
from typing import cast

from uvicorn.protocols.http.h11_impl import H11Protocol


class Connection(H11Protocol):
    """uvicorn's own, with a clock."""

    head_seconds = 10.0
    _clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self._wind()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._wind()

    @property
    def _waiting(self) -> bool:
        """Whether no request is being answered: its head has still to come, or some of it."""
        return self.cycle is None or self.cycle.response_complete

    def _wind(self) -> None:
        if self._clock is not None and not self._waiting:
            self._clock.cancel()
            self._clock = None
        elif self._clock is None and self._waiting:
            self._clock = self.loop.call_later(self.head_seconds, self._late)

    def _late(self) -> None:
        self._clock = None
        if self._waiting and not self.transport.is_closing():
            self.transport.close()

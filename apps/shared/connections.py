"""The connections of one server: how many each address may hold, and how long one may be idle."""

import ipaddress
import os
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from vision_core.safety import limits

LOOKS = 4  # checks of a connection within the seconds that it may be idle
REFUSED = b"This server has too many open connections: please come back in a minute.\n"
_ANSWER = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\nretry-after: 60\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(REFUSED), REFUSED)
)


def proxies() -> str:
    """The addresses whose X-Forwarded-For and -Proto are trusted, as uvicorn reads FORWARDED_ALLOW_IPS.

    A proxy on this machine is trusted; on a Space, every connection comes from the hub's proxy.
    """
    return os.environ.get("FORWARDED_ALLOW_IPS") or ("*" if "SPACE_ID" in os.environ else "127.0.0.1,::1")


def shared(address: str) -> bool:
    """Whether many visitors may come from this address: this machine or one of the `proxies`."""
    try:
        client = ipaddress.ip_address(address)
    except ValueError:  # a Unix socket, or a test
        return True
    networks = [text.strip() for text in proxies().split(",") if text.strip()]
    return client.is_loopback or "*" in networks or any(_within(client, text) for text in networks)


def _within(client: Any, network: str) -> bool:
    try:
        return client in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


class Connection(H11Protocol):
    """A connection that is closed when idle: without a complete request, or with an unread answer.

    A request at work may take as long as it likes; its body has limits in `doors`. A websocket leaves this
    class when it is opened, and counts as a connection of its address until it is closed.
    """

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        peers = [getattr(other, "client", None) for other in self.connections]
        same = sum(peer is not None and peer[0] == address for peer in peers)
        crowded = same > limits.CONNECTIONS.value and not shared(address)
        if crowded or len(self.connections) > limits.ALL_CONNECTIONS.value:
            transport.write(_ANSWER)
            transport.close()
            return
        self._idle_looks, self._unsent, self._seen = 0, 0, self.cycle
        self._look()

    def _look(self) -> None:
        transport: Any = self.transport
        if transport.is_closing() or transport.get_protocol() is not self:  # taken over by a websocket
            return
        unsent = transport.get_write_buffer_size()
        at_work = self.cycle is not None and not self.cycle.response_complete
        new_request = self.cycle is not self._seen  # a request since the last check, maybe answered already
        if new_request or (at_work and not unsent) or (unsent and unsent != self._unsent):
            self._idle_looks = 0
        else:
            self._idle_looks += 1
        self._unsent, self._seen = unsent, self.cycle
        if self._idle_looks > LOOKS:  # unread data means that the server is busy, not that the client is idle
            transport.abort()
        else:
            self.loop.call_later(limits.IDLE_SECONDS.value / LOOKS, self._look)

"""Put on PYTHONPATH, this makes a Python process offline, and writes down each place on the network that it asked for."""

import os
import sys

LOOPBACK = ("127.", "localhost", "::1", "0.0.0.0")


def refuse(event: str, arguments: tuple) -> None:
    """An audit hook sees what every library does with a socket, however it got hold of it."""
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    name = host.decode() if isinstance(host, bytes) else str(host or "localhost")
    if not name.startswith(LOOPBACK):
        with open(os.environ["ASKED_FOR"], "a", encoding="utf-8") as file:  # noqa: PTH123 - an early process
            file.write(f"{name}\n")
        raise OSError(f"no network in this test: {name}")


sys.addaudithook(refuse)

"""An address where the first process of a job can wait for the others."""

import socket


def address(ports: int = 1) -> str:
    """Returns localhost:PORT, of a port that is free like the ones after it, `ports` in all."""
    while True:
        with socket.socket() as first:
            first.bind(("localhost", 0))
            port = first.getsockname()[1]
            if all(_is_free(port + more) for more in range(1, ports)):
                return f"localhost:{port}"


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        try:
            one.bind(("localhost", port))
        except (OSError, OverflowError):
            return False
    return True

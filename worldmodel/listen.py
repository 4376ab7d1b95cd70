"""A port of this machine, and who may come through it: what the commands that serve have in common."""

import errno
import ipaddress
import socket
from urllib.parse import urlsplit

from worldmodel.config import UserError

LOCAL = "127.0.0.1"
NAMES = (LOCAL, "localhost", "::1")
"""Names that this machine has for itself. Another name in Host is a site that was made to point here."""


def bind(port: int, host: str = LOCAL) -> socket.socket:
    """A listening socket. Raises UserError where the port is taken or not allowed, or the host is not ours."""
    why = {errno.EADDRINUSE: "taken by another program; use another", errno.EACCES: "not allowed; use one above 1023"}
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=64)
    except OSError as error:
        if error.errno in why:
            raise UserError(f"port={port}: {why[error.errno]}, or port=0 for a free one") from None
        if error.errno in (errno.EADDRNOTAVAIL, socket.EAI_NONAME):
            raise UserError(f"host={host}: is no address of this machine; give one that is, or {LOCAL}") from None
        raise


def check_port(port: int) -> None:
    """ValueError, one line, for what is no port."""
    if not 0 <= port < 2**16:
        raise ValueError(f"port={port}: expected 1 to {2**16 - 1}, or 0 for a free one")


def host_name(header: str) -> str | None:
    """The name in a Host header, without its port."""
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None


def is_address(name: str | None) -> bool:
    """Whether a host is named by its address, or is this machine: not by a name that anyone may point at it."""
    try:
        return name in NAMES or bool(ipaddress.ip_address(name or ""))
    except ValueError:
        return False

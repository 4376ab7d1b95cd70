"""Files that are damaged or crafted: one error, in one line, whatever the library that reads them raises."""

import contextlib
import errno
import json
import zipfile
import zlib
from collections.abc import Iterator

DAMAGE = (
    ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError, SyntaxError, TypeError,
    ValueError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What reading a damaged or crafted file may raise, in whatever library."""


@contextlib.contextmanager
def reading(what: str, kind: type[Exception], advice: str = "get it again") -> Iterator[None]:
    """Whatever reading a damaged or crafted file raises, as ``kind`` in one line; errors of that kind as they are."""
    try:
        yield
    except (kind, *DAMAGE) as error:
        plain = isinstance(error, kind) and not isinstance(error, json.JSONDecodeError | UnicodeError)
        disk = getattr(error, "errno", None) not in (None, errno.EINVAL, errno.EOVERFLOW)  # full, or forbidden
        if plain or disk or isinstance(error, FileNotFoundError | FileExistsError):
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise kind(f"{what} is damaged or none at all ({reason}); {advice}") from None

"""How signatures are checked under test: shapes by jaxtyping, the rest by beartype; an int is a fine float."""

from typing import Any

from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintException

strict = beartype(conf=BeartypeConf(is_pep484_tower=True))


def checked(thing: Any) -> Any:
    """Check the calls of a function or the fields of a class, unless a hint (a protocol) cannot be checked."""
    try:
        return strict(thing)
    except BeartypeDecorHintException:
        return thing

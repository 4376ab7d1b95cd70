"""How signatures are checked under test: shapes and dtypes by jaxtyping, the rest by beartype; an int is a fine float."""

from typing import Any

from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintException

strict = beartype(conf=BeartypeConf(is_pep484_tower=True))


def checked(thing: Any) -> Any:
    """Check the calls of a function or the fields of a class, unless a hint cannot be checked at run time (protocols)."""
    try:
        return strict(thing)
    except BeartypeDecorHintException:
        return thing

"""How signatures are checked under test: shapes and dtypes by jaxtyping, the rest by beartype; an int is a fine float."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))

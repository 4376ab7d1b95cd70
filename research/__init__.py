"""Studies that shaped worldmodel: they import the package and are not shipped with it."""

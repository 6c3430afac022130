"""A stand-in, of which matplotlib asks the version."""

version_info = (9, 0)

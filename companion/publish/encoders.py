"""Names that moved to `measured`."""

from companion.publish.measured import one_set_each

__all__ = ["one_set_each"]

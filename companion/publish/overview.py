"""Names that moved to `measured`."""

from companion.publish.measured import known

__all__ = ["known"]

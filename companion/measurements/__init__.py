"""Named quantities with units and provenance: taken, kept, compared."""

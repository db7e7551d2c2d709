"""Named quantities with units and provenance: taken, kept, put beside each other."""

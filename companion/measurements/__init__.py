"""Takes, keeps and compares named quantities, with units and provenance."""

"""The companion's analysis code: pure metrics on arrays, one idea per module."""

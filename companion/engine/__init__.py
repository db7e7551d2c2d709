"""Executes notebooks, and publishes what they find; knows no paper."""

"""Looks for the sign of robustness that the paper found in one checkpoint's features."""

from companion.probe.judge import probe as probe

"""Sinks: what users get."""

from ultraclean.stages.lazy import attributes

__getattr__, __dir__ = attributes("write")

"""Decisions on one document at a time."""

from ultraclean.stages.lazy import attributes

__getattr__, __dir__ = attributes("filter")

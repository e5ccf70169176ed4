"""Columns that measure."""

from ultraclean.stages.lazy import attributes

__getattr__, __dir__ = attributes("score")

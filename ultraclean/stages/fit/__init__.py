"""Trains models from tables."""

from ultraclean.stages.lazy import attributes

__getattr__, __dir__ = attributes("fit")

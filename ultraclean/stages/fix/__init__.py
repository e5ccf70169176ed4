"""Repairs that keep every document."""

from ultraclean.stages.lazy import attributes

__getattr__, __dir__ = attributes("fix")

"""Choices among all documents."""

from ultraclean.stages.lazy import attributes

__getattr__, __dir__ = attributes("sample")

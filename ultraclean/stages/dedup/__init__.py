"""Decisions between documents: duplicates."""

from ultraclean.stages.lazy import attributes

__getattr__, __dir__ = attributes("dedup")

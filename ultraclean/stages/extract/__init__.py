"""Text out of pages."""

from ultraclean.stages.lazy import attributes

__getattr__, __dir__ = attributes("extract")

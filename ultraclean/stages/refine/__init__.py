"""Maps that edit documents by what a model said of them."""

from ultraclean.stages.lazy import attributes

__getattr__, __dir__ = attributes("refine")

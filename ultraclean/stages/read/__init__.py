"""Sources: where documents come from."""

from ultraclean.stages.lazy import attributes

__getattr__, __dir__ = attributes("read")

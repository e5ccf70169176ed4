"""Training shards: tokens on disk for the trainer and for other people's."""

from ultraclean.stages.lazy import attributes

__getattr__, __dir__ = attributes("pack")

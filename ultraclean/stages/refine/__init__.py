"""Stages that edit documents, or write new ones of them, by what a model said."""

from ultraclean.stages.lazy import attributes

__getattr__, __dir__ = attributes("refine")

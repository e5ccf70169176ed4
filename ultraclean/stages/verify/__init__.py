"""Verdicts on tables: does a model that learns from one get better?"""

from ultraclean.stages.lazy import attributes

__getattr__, __dir__ = attributes("verify")

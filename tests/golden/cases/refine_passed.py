"""Attempts with problems, and with inventions and lengths around the thresholds."""

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.refine.passed import Passed


def case() -> tuple[Stage, Batch]:
    batch = Batch.of(
        text=["a", None, None, "b", "c", "d", "e", "f"],
        problem=[None, "refused: no", "unheard_of: x", None, None, None, None, None],
        n_new_numbers=[0.0, None, None, 2.0, 0.0, 0.0, 0.0, 1.0],
        n_new_names=[0.0, None, None, 0.0, 3.0, 0.0, 0.0, 1.0],
        new_number_fraction=[0.0, None, None, 0.5, 0.0, 0.0, 0.0, 0.1],
        new_name_fraction=[0.0, None, None, 0.0, 0.5, 0.0, 0.0, 0.25],
        length_ratio=[1.0, None, None, 1.0, 1.0, 0.1, 9.0, 1.0],
    )
    return Passed(min_length_ratio=0.2, max_length_ratio=4.0), batch

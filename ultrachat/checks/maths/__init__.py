"""Whether a mathematical answer equals the known one.

The final answer is found in the text (boxed, after ####, after "the answer is"), read by a parser
of our own (SymPy's evaluates Python, and a model wrote this), and compared: numbers exactly,
expressions by identity at random points with 60 digits, then by SymPy where that cannot decide.
Different from the usual graders on purpose: 0.33 is not 1/3 unless `tolerance` says so, and what
cannot be read is a reason of its own and never equal.
"""

from ultrachat.checks.maths.equal import check, equal
from ultrachat.checks.maths.extract import final_answer
from ultrachat.checks.maths.parse import parse
from ultrachat.checks.maths.tokens import Unreadable

__all__ = ["Unreadable", "check", "equal", "final_answer", "parse"]

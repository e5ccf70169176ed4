"""Language models as teachers: `generate(requests) -> responses`, over four engines.

    teacher = Teacher(engine="openai", model="Qwen/Qwen3-30B-A3B", base_url="http://localhost:8000/v1")
    with teacher.open() as ask:
        responses = ask.generate([Request.of("Why is the sky blue?")])

`openai` talks to any OpenAI-compatible server, `vllm` starts and supervises one, `scripted` answers
by rule or from a recording. Responses are kept by content, so that nothing is paid twice. An answer
that is malformed, refused or missing is a response with a `problem`, never an exception.
"""

from ultraclean.llm.cache import responses_in
from ultraclean.llm.meter import Meter, spent
from ultraclean.llm.protocol import Constraint, Request, Response, Sample, Sampling, Usage
from ultraclean.llm.scripted import Rule, Script
from ultraclean.llm.settings import Teacher
from ultraclean.llm.teacher import OpenTeacher, Play, TeacherError

__all__ = [
    "Constraint",
    "Meter",
    "OpenTeacher",
    "Play",
    "Request",
    "Response",
    "Rule",
    "Sample",
    "Sampling",
    "Script",
    "Teacher",
    "TeacherError",
    "Usage",
    "responses_in",
    "spent",
]

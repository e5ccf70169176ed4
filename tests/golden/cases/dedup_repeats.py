"""Lines that occur in other documents; the longest document keeps them."""

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.dedup.repeats import Repeats


def case() -> tuple[Stage, Batch]:
    menu = "Home | About | Contact\r\n"
    texts = [
        menu + "A story that is longer than the others.\n© 2024 Example",
        menu.upper() + "Another story.\n© 2024  example",
        menu,
        "Another story.\n",
        "第一行。\n我们 在北京。\n",
        "我们\u3000在北京。\n第二行。",
        "",
        None,
    ]
    length = [0 if text is None else len(text) for text in texts]
    stage = Repeats(grain="line", priority=("length",), min_chars=5, into="gone")
    return stage, Batch.of(text=texts, length=length)

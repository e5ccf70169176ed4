"""The command `ultraclean`: each command is one function, each error one message and exit status 2."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from ultraclean import catalog, pipeline_file, storage
from ultraclean.errors import DataError, PipelineError, UltracleanError
from ultraclean.pipeline import Pipeline

WRONG, FAILED, INTERRUPTED = 2, 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status (0 good, 1 a run failed, 2 the input is wrong)."""
    parsed = parser().parse_args(arguments)
    try:
        status: int = parsed.command(parsed)
    except PipelineError as error:
        print(error, file=sys.stderr)
        return WRONG
    except UltracleanError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on where it stopped", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return FAILED
    return status


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="ultraclean", description="Curates data for language models; see the README."
    )
    commands = top.add_subparsers(dest="which", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run a pipeline, or go on where it stopped")
    _pipeline_arguments(run)
    run.add_argument("--out", metavar="DIR", help="run folder, any fsspec path (default runs/NAME)")
    run.add_argument(
        "--address",
        metavar="WHERE",
        help="local (a Ray started here, the default), auto, HOST:PORT, or inline (this process)",
    )
    run.add_argument("--only", metavar="TABLE", help="run one table and what it needs")
    run.add_argument("--accept-inputs", action="store_true", help="redo what changed inputs touch")
    run.add_argument("--quiet", action="store_true", help="no progress lines")
    run.set_defaults(command=_run)

    check = commands.add_parser("check", help="find every error of a pipeline without running it")
    _pipeline_arguments(check)
    check.add_argument("--inputs", action="store_true", help="list remote inputs as well")
    check.set_defaults(command=_check)

    plan = commands.add_parser("plan", help="show segments, shards, columns, and what is reused")
    _pipeline_arguments(plan)
    plan.add_argument("--out", metavar="DIR", help="run folder to compare with")
    plan.set_defaults(command=_plan)

    status = commands.add_parser("status", help="show how far a run is")
    status.add_argument("run", metavar="RUN", help="run folder")
    status.add_argument(
        "--metrics", action="store_true", help="as Prometheus metrics, for a dashboard"
    )
    status.set_defaults(command=_status)

    stages = commands.add_parser("stages", help="list the stages, or explain one")
    stages.add_argument("name", nargs="?", metavar="NAME", help="a stage, as in filter.c4")
    stages.add_argument("--markdown", action="store_true", help="the list as a Markdown table")
    stages.set_defaults(command=_stages)

    schema = commands.add_parser("schema", help="print the JSON Schema of pipeline files")
    schema.set_defaults(command=_schema)

    trace = commands.add_parser("trace", help="tell one document's life, stage by stage")
    trace.add_argument("run", metavar="RUN", help="run folder")
    trace.add_argument("id", metavar="ID", help="the document's id, url, or _key in hex")
    trace.set_defaults(command=_trace)

    report = commands.add_parser("report", help="write report.html of a run again")
    report.add_argument("run", metavar="RUN", help="run folder")
    report.set_defaults(command=_report)

    train = commands.add_parser("train", help="train the minimal MiniCPM4 as a YAML file says")
    train.add_argument("spec", metavar="SPEC", help="a training file; see docs/training.md")
    train.set_defaults(command=_train)

    needle = commands.add_parser("needle", help="search a needle in a haystack with a model")
    _needle_arguments(needle)
    needle.set_defaults(command=_needle)

    _index_parser(commands)

    gc = commands.add_parser("gc", help="delete what the pipeline of a run no longer uses")
    gc.add_argument("run", metavar="RUN", help="run folder")
    gc.add_argument("--dry-run", action="store_true", help="only say what would go")
    gc.set_defaults(command=_gc)
    return top


def _needle_arguments(needle: argparse.ArgumentParser) -> None:
    needle.add_argument("model", metavar="MODEL", help="a checkpoint, or an exported folder")
    needle.add_argument("haystack", metavar="HAYSTACK", help="a text file to hide needles in")
    needle.add_argument("--tokenizer", metavar="FILE", help="by default MODEL/tokenizer.json")
    needle.add_argument("--length", type=int, nargs="+", default=[32768], metavar="TOKENS")
    needle.add_argument(
        "--depth", type=float, nargs="+", default=[0.0, 0.25, 0.5, 0.75, 1.0], metavar="SHARE"
    )
    needle.add_argument("--trials", type=int, default=1, metavar="N", help="needles per depth")
    needle.add_argument("--seed", type=int, default=0, metavar="N")
    needle.add_argument("--attention", choices=("dense", "sparse"), help="other than the model's")
    needle.add_argument(
        "--beyond", action="store_true", help="allow lengths beyond those the model is made for"
    )
    needle.add_argument("--device", metavar="DEVICE", help="by default a GPU, if there is one")
    needle.add_argument("--out", metavar="FILE", help="every needle, as JSON")


def _index_show(arguments: argparse.Namespace) -> int:
    from ultraclean.stages.dedup import index

    print(index.describe(index.load(arguments.path)))
    return 0


def _index_merge(arguments: argparse.Namespace) -> int:
    from ultraclean.stages.dedup import index

    print(index.describe(index.merge(arguments.paths, arguments.into)))
    return 0


def _index_remove(arguments: argparse.Namespace) -> int:
    from ultraclean.stages.dedup import index

    print(index.describe(index.remove(arguments.path, arguments.corpus)))
    return 0


def _index_parser(commands: Any) -> None:
    index = commands.add_parser("index", help="show, merge or thin out indexes of dedup.minhash")
    actions = index.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = actions.add_parser("show", help="corpora, documents and bytes of an index")
    show.add_argument("path", metavar="INDEX", help="run folder, or folder of an index")
    show.set_defaults(command=_index_show)
    merge = actions.add_parser("merge", help="several indexes as one in a new folder")
    merge.add_argument("paths", metavar="INDEX", nargs="+", help="the older ones first")
    merge.add_argument("--into", metavar="DIR", required=True, help="a new folder, any fsspec path")
    merge.set_defaults(command=_index_merge)
    remove = actions.add_parser("remove", help="take a corpus out of an index")
    remove.add_argument("path", metavar="INDEX", help="run folder, or folder of an index")
    remove.add_argument("corpus", metavar="CORPUS", help="its name, as `index show` says")
    remove.set_defaults(command=_index_remove)


def _pipeline_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("pipeline", metavar="PIPELINE", help="a YAML file, or a shipped pipeline")
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="ADDRESS=VALUE",
        help="set a field, as in web.filter.gopher_quality.min_words=30 (repeatable)",
    )
    command.add_argument("--limit", type=int, metavar="N", help="documents per source")


def _load(arguments: argparse.Namespace) -> Pipeline:
    pipeline = pipeline_file.load(arguments.pipeline, arguments.set)
    return pipeline.limited(arguments.limit) if arguments.limit else pipeline


def _default_out(pipeline: Pipeline, arguments: argparse.Namespace) -> str:
    return str(arguments.out or storage.join("runs", pipeline.name))


def _run(arguments: argparse.Namespace) -> int:
    from ultraclean.engine import run
    from ultraclean.summary import funnel

    pipeline = _load(arguments)
    finished = run(
        pipeline,
        _default_out(pipeline, arguments),
        address=arguments.address,
        only=arguments.only,
        accept_inputs=arguments.accept_inputs,
        quiet=arguments.quiet,
    )
    print(funnel(storage.read_json(storage.join(finished.out, "run.json"))))
    print(f"report: {finished.report}")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from ultraclean.plan import check

    pipeline = _load(arguments)
    problems = check(pipeline, remote=arguments.inputs)
    if problems:
        raise PipelineError(problems)
    n_stages = sum(len(stages) for stages in pipeline.tables.values())
    print(
        f"{arguments.pipeline}: {len(pipeline.tables)} tables, {n_stages} stages, no problem found"
    )
    return 0


def _plan(arguments: argparse.Namespace) -> int:
    from ultraclean.forecast import forecast
    from ultraclean.plan import check

    pipeline = _load(arguments)
    problems = check(pipeline)
    if problems:
        raise PipelineError(problems)
    print(forecast(pipeline, _default_out(pipeline, arguments)))
    return 0


def _status(arguments: argparse.Namespace) -> int:
    from ultraclean.forecast import forecast
    from ultraclean.metrics import metrics

    if arguments.metrics:
        print(metrics(_pipeline_of(arguments.run), arguments.run))
        return 0
    print(forecast(_pipeline_of(arguments.run), arguments.run))
    path = storage.join(arguments.run, "run.json")
    if storage.exists(path):
        print(f"finished {storage.read_json(path)['finished']}")
    return 0


def _stages(arguments: argparse.Namespace) -> int:
    from ultraclean.describe import list_stages, one_stage

    if arguments.name is None:
        print(list_stages(markdown=arguments.markdown))
        return 0
    if arguments.name not in catalog.names():
        message = catalog.unknown("stage", arguments.name, catalog.names())
        raise PipelineError.one("stages", message)
    print(one_stage(arguments.name))
    return 0


def _schema(arguments: argparse.Namespace) -> int:
    from ultraclean.describe import json_schema

    print(json.dumps(json_schema(), indent=1, ensure_ascii=False))
    return 0


def _trace(arguments: argparse.Namespace) -> int:
    from ultraclean.trace import trace

    print(trace(_pipeline_of(arguments.run), arguments.run, arguments.id))
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from ultraclean.report import write_report

    _pipeline_of(arguments.run)
    print(write_report(arguments.run))
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from ultraclean.train.command import main as train

    return train(arguments.spec)


def _needle(arguments: argparse.Namespace) -> int:
    from ultraclean.train.command import needle

    return needle(arguments)


def _gc(arguments: argparse.Namespace) -> int:
    from ultraclean.gc import collect

    freed = collect(_pipeline_of(arguments.run), arguments.run, dry_run=arguments.dry_run)
    word = "would delete" if arguments.dry_run else "deleted"
    print(f"{word} {freed.n_files} files, {freed.n_bytes / 2**20:,.1f} MiB")
    return 0


def _pipeline_of(run: str) -> Pipeline:
    path = storage.join(run, "pipeline.yaml")
    if not storage.exists(path):
        raise DataError(f"{run} is no run folder: it has no pipeline.yaml")
    return pipeline_file.parse(storage.read_bytes(path).decode(), path)


if __name__ == "__main__":
    sys.exit(main())

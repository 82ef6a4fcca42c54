"""`upscale` on an engine: the worker that restores, and the run over all pictures."""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import random
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ...bulk.addresses import is_url
from ...bulk.blocks import Block, Result
from ...bulk.bulk_run import FAILURES, REPORT, run_bulk
from ...bulk.destinations import Destination
from ...bulk.engine import Engine, need_ray
from ...bulk.items import Item
from ...bulk.shards import Packer, Results, Sharding, check_shards, give_shards, shards_of
from ...bulk.sources import give_places, list_items
from ...errors import InputError
from ...faces import Faces
from ...image_files import Picture, decode_picture, encode_picture, picture_text_in
from ..hosting import make_host
from ..identifying.analyzing import detection_options, make_analyzer
from ..upscaling.batch import Job
from ..upscaling.html_report import HtmlReport
from ..upscaling.prepared import RestoredPicture, check_arguments, prepare
from ..upscaling.records import KEY, Settings, record_in
from .bulk_arguments import engine_of
from .bulk_plan import plan_bulk

log = logging.getLogger(__name__)

MOST_LINES = 10
"""Failures that are named in the last message."""


@dataclass(frozen=True, eq=False)
class _Read:
    """A picture that is to be restored, the tags beside it, and what its result says of it."""

    picture: Picture
    tags: str | None
    texts: dict[str, str]


class BulkUpscaler:
    """A worker that restores: model, analyzer and people in memory.

    Args:
        settings: what the results depend on, as the driver found them; a worker that sees other files refuses.
        output: address of the results.
    """

    def __init__(self, args: argparse.Namespace, settings: Settings, output: str) -> None:
        self._prepared = prepare(args)
        if self._prepared.settings != settings:
            raise InputError(
                f"a worker has other files than the driver ({settings.differing(self._prepared.settings.values)}): "
                "give all machines the same models and photos"
            )
        self._results = Results(Destination(output))

    def read(self, item: Item) -> _Read | None:
        data = item.read()
        digest, settings = hashlib.sha256(data).hexdigest(), self._prepared.settings
        beside = item.kind == "file" and not is_url(item.address)  # a text beside it is read from disks alone
        tags = settings.text_of(Path(item.address)) if beside else None
        if earlier := self._results.read(item):
            record = record_in(picture_text_in(earlier, KEY))
            if record is None or (record.get("place") != item.key and record["picture"] != digest):
                raise InputError(
                    f"{self._results.name(item)} is there, but it is no whole result of {item.name}: delete "
                    "or move it, or choose another --output"
                )
            same = record["picture"] == digest and record.get("text") == tags
            if same and record["settings"] == settings.values:
                return None
        picture = decode_picture(data, Path(item.name))
        return _Read(picture, tags, settings.record_of(digest, item.key, tags))

    def work(self, item: Item, read: _Read) -> RestoredPicture:
        return self._prepared.restore(read.picture, self._prepared.faces(read.picture), read.texts, read.tags)

    def write(self, item: Item, worked: RestoredPicture) -> dict[str, Any]:
        name, suffix = self._results.name(item), Path(item.place).suffix
        self._results.write(item, encode_picture(suffix, worked.image, worked.alpha, worked.manner, name=name))
        report = worked.report
        (in_h, in_w), (out_h, out_w) = report.input_size, report.output_size
        said: dict[str, Any] = {"megapixels_in": in_h * in_w / 1e6, "megapixels_out": out_h * out_w / 1e6}
        if item.sampled:
            said |= {"words": report.text().splitlines(), "scores": report.identity_scores}
        return said


def upscale_in_bulk(args: argparse.Namespace, ending: str) -> int:
    """Restore all pictures on the engine that was asked for. Raises `InputError` at the end when some failed."""
    check_arguments(args)
    engine = engine_of(args)
    if args.engine == "ray":
        need_ray()
    destination = Destination(args.output)
    items = list_items(args.pictures, recursive=args.recursive, without=destination.address)
    if args.shards is None:
        items = give_places(items, ending)
    else:
        items = give_shards(items, ending, Sharding(args.shards, args.shard_size))
    shards = shards_of(items)
    _check_apart(items, destination)
    if args.dry_run:
        plan = plan_bulk(items, args, engine)
        sys.stdout.write(json.dumps(plan.to_json()) + "\n" if args.json else plan.text() + "\n")
        return 0
    destination.check()
    check_shards(destination, shards)
    settings = prepare(args).settings
    if args.report is not None:
        items = _sampled(items, args.report_sample)
    make_worker = partial(BulkUpscaler, args, settings, destination.address)
    with ExitStack() as stack:
        told: list[Callable[[Result], None]] = [partial(_tell_line, Results(destination))] if args.json else []
        if args.report is not None:
            told.append(stack.enter_context(_SampleReport(args, items, destination)))
        outcome = run_bulk(
            items, make_worker, engine, destination, quiet=args.quiet, told=told, facts={"settings": settings.values}
        )
    if shards:
        _pack(shards, engine, destination)
    if failed := outcome.counts["failed"]:
        named = "\n".join(outcome.failures[:MOST_LINES])
        raise InputError(f"{failed} of {len(items)} pictures failed; {destination.name(FAILURES)} names all:\n{named}")
    log.info("report: %s", destination.name(REPORT))
    return 0


def _pack(shards: Iterable[str], engine: Engine, destination: Destination) -> None:
    """Make the shards. Raises `InputError` when one cannot be made; what is in it stays ready."""
    items = [Item(destination.name(shard), place=shard) for shard in shards]
    done = list(engine.run(items, partial(Packer, destination.address), Block("", "")))
    log.info("shards: %d written, %d as they were", *(_count(done, status) for status in ("done", "kept")))
    if failed := [result.error for result in done if result.status == "failed"]:
        raise InputError(
            f"{len(failed)} of {len(items)} shards could not be written, the same command tries again:\n"
            + "\n".join(failed[:MOST_LINES])
        )


def _count(results: Sequence[Result], status: str) -> int:
    return sum(result.status == status for result in results)


def _check_apart(items: Sequence[Item], destination: Destination) -> None:
    """Refuse to write over what was given. Raises `InputError`."""
    if destination.folder is None:
        return
    given = {os.path.realpath(item.address) for item in items if not is_url(item.address)}
    for item in items:
        if os.path.realpath(destination.folder / (item.shard or item.place)) in given:
            raise InputError(f"the result of {item.name} would replace a picture given: choose another --output")


def _sampled(items: Sequence[Item], count: int) -> list[Item]:
    """The items, `count` of them, spread by chance but always the same ones, marked for the report."""
    chosen = set(random.Random(0).sample(range(len(items)), min(count, len(items))))  # noqa: S311 - no secret
    return [replace(item, sampled=index in chosen) for index, item in enumerate(items)]


def _tell_line(results: Results, result: Result) -> None:
    more = {name: value for name, value in result.more.items() if name not in ("words", "scores")}
    record = {
        "input": result.item.name,
        "output": results.name(result.item),
        "status": result.status,
        **more,
        **({"error": result.error} if result.error else {}),
    }
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


class _SampleReport:
    """The HTML report, of the sampled pictures and of those that failed."""

    def __init__(self, args: argparse.Namespace, items: Sequence[Item], destination: Destination) -> None:
        if destination.folder is None or any(item.sampled and (item.kind != "file" or item.shard) for item in items):
            raise InputError("--report shows pictures and results on a disk: leave it out, or give folders")
        analyzer, options = make_analyzer(args, make_host(args)), detection_options(args)

        def find_faces(picture: torch.Tensor) -> Faces:
            return analyzer.detect(picture, options)

        count = sum(item.sampled for item in items)
        title = f"HeadsUp: before and after, {count} of {len(items)} pictures"
        self._folder = destination.folder
        self._page = HtmlReport(args.report, title, count, find_faces, analyzer.embedder_id)

    def __call__(self, result: Result) -> None:
        job = Job(Path(result.item.address), self._folder / result.item.place)
        if result.status == "failed":
            self._page.failed(job, result.error)
        elif result.item.sampled and result.status == "kept":
            self._page.kept(job)
        elif result.item.sampled:
            self._page.restored(job, result.more["words"], result.more["scores"])

    def __enter__(self) -> _SampleReport:
        self._page.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:  # noqa: ANN401 - a context manager's
        self._page.__exit__(*error)

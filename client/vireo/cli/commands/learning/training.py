"""`vireo train`, `vireo resume` and `vireo eval`: train a model on a folder of videos, and evaluate it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from vireo.cli import options, tables
from vireo.cli.console import AsJson, Url, connected, err, out, print_json, program, transfer_bar
from vireo.cli.exit_codes import Exit
from vireo.cli.follow import follow
from vireo.errors import Cancelled, TrainingFailed, VireoError
from vireo.schema.datasets import DatasetResult
from vireo.schema.judging import TrainingResult
from vireo.synchronous.client import Client
from vireo.synchronous.jobs import Job

AnswerT = TypeVar("AnswerT")

_DATASET_ID = re.compile(r"ds_[0-9a-f]{24}")


def train(
    source: options.DatasetSource,
    base: options.BaseOption = None,
    epochs: options.EpochsOption = None,
    name: options.NameOption = None,
    method: options.MethodOption = None,
    recipe: options.RecipeOption = None,
    classifier: options.ClassifierOption = None,
    text_inputs: options.TextInputsOption = None,
    template: options.TemplateOption = None,
    temporal: options.TemporalOption = None,
    fusion: options.FusionOption = None,
    contrast: options.ContrastOption = None,
    prompt_tokens: options.PromptTokensOption = None,
    prompt_depth: options.PromptDepthOption = None,
    online_text: options.OnlineTextOption = None,
    tune: options.TuneOption = None,
    frames: options.FramesOption = None,
    shots: options.ShotsOption = None,
    batch_size: options.BatchSizeOption = None,
    micro_batch: options.MicroBatchOption = None,
    learning_rate: options.LearningRateOption = None,
    seed: options.SeedOption = None,
    novel: options.NovelOption = None,
    augment: options.AugmentOption = None,
    temporal_init: options.TemporalInitOption = None,
    precision: options.PrecisionOption = None,
    gradient_checkpointing: options.CheckpointingOption = None,
    normalize_labels: options.NormalizeLabelsOption = None,
    cache_frames: options.CacheFramesOption = None,
    views: options.ViewsOption = None,
    solver: options.SolverOption = None,
    promote: options.PromoteOption = None,
    split_column: options.SplitColumnOption = None,
    preview: options.PreviewOption = False,
    webhook: options.WebhookOption = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Train a model on your own videos."""
    if preview:
        _preview(
            source,
            as_json,
            url,
            webhook,
            base=base,
            templates=template or None,
            frames=frames,
            split_column=split_column,
            seed=seed,
        )
        return
    request: dict[str, Any] = {
        "base": base,
        "epochs": epochs,
        "method": method,
        "recipe": recipe,
        "classifier": classifier,
        "text_inputs": text_inputs,
        "templates": template or None,
        "temporal": temporal,
        "fusion": fusion,
        "contrast": contrast,
        "prompt_tokens": prompt_tokens,
        "prompt_depth": prompt_depth,
        "online_text": online_text,
        "tune": tune,
        "frames": frames,
        "shots": shots,
        "batch_size": batch_size,
        "micro_batch": micro_batch,
        "learning_rate": learning_rate,
        "seed": seed,
        "novel": parse_novel(novel),
        "augment": augment,
        "temporal_init": temporal_init,
        "precision": precision,
        "gradient_checkpointing": gradient_checkpointing,
        "normalize_labels": normalize_labels,
        "cache_frames": cache_frames,
        "views": views,
        "solver": solver,
        "promote": promote,
        "split_column": split_column,
    }
    model = name or _default_name(source)
    with connected(url, as_json, webhook=webhook) as client:
        dataset = ensure_dataset(client, source, quiet=as_json)
        _finish(client, client.train(model, dataset, **request), as_json)


def _preview(source: str, as_json: bool, url: str | None, webhook: str | None, **request: Any) -> None:
    """What training would bring, as a table."""
    with connected(url, as_json, webhook=webhook) as client:
        dataset = ensure_dataset(client, source, quiet=as_json)
        result = watch(client.datasets.preview(dataset, **request), as_json)
    if as_json:
        print_json(result.raw)
    else:
        tables.print_preview(result.raw, out)


def resume(
    job: Annotated[str, typer.Argument(help="The id of a training job.")], as_json: AsJson = False, url: Url = None
) -> None:
    """Continue a training run that failed or was cancelled, from its last checkpoint."""
    with connected(url, as_json) as client:
        _finish(client, client.jobs.resume(job), as_json)


def evaluate(
    model: Annotated[str, typer.Argument(help="name, name:3 or name@alias.")],
    source: options.DatasetSource,
    views: options.ViewsOption = None,
    split: options.SplitOption = None,
    protocol: options.ProtocolOption = None,
    shots: options.ShotListOption = None,
    seeds: options.SeedListOption = None,
    splits: options.SplitsOption = None,
    split_column: options.SplitColumnOption = None,
    method: options.MethodOption = None,
    recipe: options.RecipeOption = None,
    epochs: options.EpochsOption = None,
    batch_size: options.BatchSizeOption = None,
    learning_rate: options.LearningRateOption = None,
    solver: options.SolverOption = None,
    keep_as: options.KeepOption = None,
    normalize_labels: options.NormalizeLabelsOption = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Measure how well a model, or what is trained from it, classifies labelled videos."""
    training = {
        "method": method,
        "recipe": recipe,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "solver": solver,
    }
    given = {field: value for field, value in training.items() if value is not None}
    with connected(url, as_json) as client:
        dataset = ensure_dataset(client, source, quiet=as_json)
        request: dict[str, Any] = {
            "views": views,
            "split": split,
            "protocol": protocol,
            "shots": _numbers(shots, "--shots"),
            "seeds": _numbers(seeds, "--seeds"),
            "splits": None if splits is None else _listed(splits),
            "split_column": split_column,
            "training": given or None,
            "name": keep_as,
            "normalize_labels": normalize_labels,
        }
        found = watch(client.evaluations.start(dataset, model=model, **request), as_json)
        result = found.raw
        if as_json:
            print_json(result)
            return
        columns = {"1x1": result.get("metrics")} | (result.get("views") or {})
        if any(columns.values()):  # a protocol that trains has a table of its own
            tables.print_metrics(f"{result['model']} on {dataset}", columns, out)
        if (protocol := result.get("protocol")) and protocol["rows"]:
            tables.print_protocol(protocol, f"{result['model']} on {dataset}", out)
        out.print(f"Report: {client.url}{result['report']}", highlight=False, soft_wrap=True)


def ensure_dataset(client: Client, source: str, *, quiet: bool) -> str:
    """The dataset's id; a file or directory is sent and checked first. Raises: VireoError."""
    return source if _DATASET_ID.fullmatch(source) else send_dataset(client, source, quiet=quiet).dataset


def send_dataset(client: Client, source: str, *, quiet: bool, **options: Any) -> DatasetResult:
    """Send a dataset, and show what its check finds. Raises: VireoError."""
    with transfer_bar(Path(source).resolve(), then="checking", quiet=quiet) as progress:
        job = client.datasets.add(source, progress=progress, **options)
    try:
        result = follow(job, err, quiet=quiet)
    except VireoError as error:
        if not quiet:
            tables.print_findings(error.details.get("report") or (), err)
        raise
    if not quiet:
        tables.print_findings(result.raw.get("report") or (), err)
        err.print(f"{result.dataset}: {result.clips} clips, {result.classes} classes.", highlight=False)
    return result


def slug(source: str) -> str:
    """A model name made from a file name: `My Gym.zip` → `my-gym`."""
    name = Path(source).resolve().name.lower()
    name = re.sub(r"\.(zip|tar|tar\.\w+|tgz)$", "", name)
    return re.sub(r"[^a-z0-9._]+", "-", name).strip("-._")[:63] or "model"


def _default_name(source: str) -> str:
    """Raises: typer.BadParameter if only a dataset's id is known."""
    if _DATASET_ID.fullmatch(source):
        raise typer.BadParameter("give the model a name", param_hint="--name")
    return slug(source)


def parse_novel(value: str | None) -> float | list[str] | None:
    """The value of `--novel`: a share, or class names."""
    if value is None:
        return None
    try:
        return float(value)
    except ValueError:
        return _listed(value)


def _listed(value: str) -> list[str]:
    return [name.strip() for name in value.split(",") if name.strip()]


def _numbers(value: str | None, option: str) -> list[int] | None:
    """Raises: typer.BadParameter."""
    if value is None:
        return None
    try:
        return [int(number) for number in _listed(value)]
    except ValueError:
        raise typer.BadParameter(f"{value!r} is no list of whole numbers, such as 1,2,4", param_hint=option) from None


def watch(job: Job[AnswerT], quiet: bool) -> AnswerT:
    """Follow a job and return its result; Ctrl-C cancels the job. Raises: VireoError."""
    try:
        return follow(job, err, quiet=quiet)
    except KeyboardInterrupt:
        job.cancel()
        err.print(f"\nCancelling {job.id}.", highlight=False)
        if job.kind == "training":
            err.print(f"Continue it with:  {program()} resume {job.id}", highlight=False)
        raise typer.Exit(Exit.INTERRUPTED) from None
    except VireoError as error:
        if job.kind == "training" and isinstance(error, Cancelled | TrainingFailed):
            err.print(f"Continue the run with:  {program()} resume {job.id}", highlight=False)
        raise


def _finish(client: Client, job: Job[TrainingResult], as_json: bool) -> None:
    result = watch(job, as_json)
    if as_json:
        print_json(result.raw)
        return
    if result.headline:
        out.print(result.headline.sentence, highlight=False)
    if promotion := result.promotion:
        moved = "now points to it" if promotion.promoted else "stays where it is"
        out.print(f"{promotion.alias} {moved}: {promotion.reason}", highlight=False, soft_wrap=True)
    raw = result.raw
    views = {name: each for name, each in (raw.get("views") or {}).items() if name != "1x1"}
    tables.print_metrics(result.model, {"before": result.before, "after": raw["metrics"]} | views, out)
    if result.base_to_novel:
        tables.print_base_to_novel(result.base_to_novel, out)
    out.print(f"Report: {client.url}{result.report}", highlight=False, soft_wrap=True)
    command = f"{program()} classify --model {result.model} VIDEO"
    out.print(f"Classify with it:  {command}", highlight=False, soft_wrap=True, markup=False)
    if result.open_labels is not False:
        out.print(f'Or with your own labels:  {command} --labels "a cat" "a dog"', highlight=False, soft_wrap=True)

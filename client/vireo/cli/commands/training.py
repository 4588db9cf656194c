"""`vireo train`, `vireo resume`, `vireo eval`: from a folder of videos to a model, and to numbers about it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from vireo.cli import tables
from vireo.cli.console import AsJson, Url, connected, err, moving, out, print_json
from vireo.cli.follow import follow
from vireo.client import Client
from vireo.errors import Cancelled, TrainingFailed, VireoError

_DATASET = re.compile(r"ds_[0-9a-f]{24}")

Source = Annotated[
    str,
    typer.Argument(
        metavar="DIR|ARCHIVE|DATASET",
        help="A folder per class with videos inside (or a manifest.csv beside them), a zip or tar of that, or the id "
        "of a dataset that was sent before.",
    ),
]
Views = Annotated[str | None, typer.Option(help="Multi-view evaluation beside the single view: clips × crops.")]


def train(
    source: Source,
    base: Annotated[str | None, typer.Option(help="Model to start from; default: the server's.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Default: the recipe's.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the model; default: the folder's.")] = None,
    recipe: Annotated[str | None, typer.Option(help="default, text4vis-paper or text4vis-code.")] = None,
    classifier: Annotated[
        str | None, typer.Option(help="text (any labels afterwards), text:<encoder>, lda, orthogonal, random, learned.")
    ] = None,
    text_inputs: Annotated[str | None, typer.Option(help="name, template, templates or context.")] = None,
    template: Annotated[list[str] | None, typer.Option(help="A prompt template with one {}; may be repeated.")] = None,
    temporal: Annotated[str | None, typer.Option(help="mean, transformer, token_conv or conv.")] = None,
    tune: Annotated[str | None, typer.Option(help="tower, or only its last projection.")] = None,
    frames: Annotated[int | None, typer.Option(help="Frames per clip.")] = None,
    shots: Annotated[int | None, typer.Option(help="Few-shot: clips per class.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Global batch.")] = None,
    micro_batch: Annotated[int | None, typer.Option(help="Clips in one forward pass.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of new modules.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything that is drawn.")] = None,
    novel: Annotated[
        str | None, typer.Option(help="Classes to leave out, by name (a,b) or as a share (0.5): the cost to others.")
    ] = None,
    augment: Annotated[
        bool | None,
        typer.Option("--augment/--no-augment", help="Random crops, flips and greys; default: the recipe's."),
    ] = None,
    temporal_init: Annotated[str | None, typer.Option(help="random or identity: how a new head starts.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32, bf16 or fp16.")] = None,
    gradient_checkpointing: Annotated[
        bool | None, typer.Option("--gradient-checkpointing", help="Less memory, a third more time.")
    ] = None,
    normalize_labels: Annotated[
        bool | None, typer.Option("--normalize-labels/--raw-labels", help="BrushHair → Brush Hair for the text tower.")
    ] = None,
    cache_frames: Annotated[bool | None, typer.Option(help="Keep decoded frames on disk during the run.")] = None,
    views: Views = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Train a model on your own videos, and say what to do with it."""
    request = {
        "name": name or (slug(source) if not _DATASET.fullmatch(source) else None),
        "base": base,
        "epochs": epochs,
        "recipe": recipe,
        "classifier": classifier,
        "text_inputs": text_inputs,
        "templates": template or None,
        "temporal": temporal,
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
    }
    if request["name"] is None:
        raise typer.BadParameter("a name is needed for the model", param_hint="--name")
    with connected(url) as client:
        dataset = bring(client, source, quiet=as_json)
        job = client.train(dataset=dataset, **request)
        _finish(client, job["id"], as_json)


def resume(
    job: Annotated[str, typer.Argument(help="A training job.")], as_json: AsJson = False, url: Url = None
) -> None:
    """Go on with a training run that was cancelled or has failed, from its last checkpoint."""
    with connected(url) as client:
        client.resume(job)
        _finish(client, job, as_json)


def evaluate(
    model: Annotated[str, typer.Argument(help="name, name:3 or name@alias.")],
    source: Source,
    views: Views = None,
    split: Annotated[str | None, typer.Option(help="train, val, test or all.")] = None,
    protocol: Annotated[str | None, typer.Option(help="standard or half_class.")] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """How well a model does on labelled videos."""
    with connected(url) as client:
        dataset = bring(client, source, quiet=as_json)
        job = client.evaluate(model=model, dataset=dataset, views=views, split=split, protocol=protocol)
        result = _watch(client, job["id"], as_json)
        if as_json:
            print_json(result)
            return
        shown = {"1x1": result.get("metrics")} | (result.get("views") or {})
        tables.metrics(f"{result['model']} on {dataset}", shown, out)
        if half := result.get("half_class"):
            words = [f"{name} {half[name]['mean']:.1%} ± {half[name]['std']:.1%}" for name in ("top1", "top5")]
            out.print(f"Ten halves of the classes: {', '.join(words)}", highlight=False)
        out.print(f"Report: {client.url}{result['report']}", highlight=False, soft_wrap=True)


def bring(client: Client, source: str, *, quiet: bool) -> str:
    """The id of the dataset that `source` is, sent and checked if need be. Raises: VireoError."""
    if _DATASET.fullmatch(source):
        return source
    with moving(Path(source).resolve(), then="checking", quiet=quiet) as sent:
        job = client.send_dataset(source, progress=sent)
    try:
        result = follow(client, job["id"], err, quiet=quiet)
    except VireoError as error:
        if not quiet:
            tables.findings(error.details.get("report") or (), err)
        raise
    if not quiet:
        tables.findings(result.get("report") or (), err)
        err.print(
            f"{result['dataset']}: {result['clips']} clips, {_count(result['classes'])} classes.", highlight=False
        )
    dataset: str = result["dataset"]
    return dataset


def slug(source: str) -> str:
    """A model's name from a file's: `My Gym.zip` → `my-gym`."""
    name = Path(source).resolve().name.lower()
    name = re.sub(r"\.(zip|tar|tar\.\w+|tgz)$", "", name)
    return re.sub(r"[^a-z0-9._]+", "-", name).strip("-._")[:63] or "model"


def parse_novel(value: str | None) -> float | list[str] | None:
    if value is None:
        return None
    try:
        return float(value)
    except ValueError:
        return [name.strip() for name in value.split(",") if name.strip()]


def _count(classes: Any) -> int:
    return classes if isinstance(classes, int) else len(classes)


def _watch(client: Client, job_id: str, quiet: bool) -> dict[str, Any]:
    """The result; Ctrl-C cancels the job. Raises: VireoError."""
    try:
        return follow(client, job_id, err, quiet=quiet)
    except KeyboardInterrupt:
        job = client.cancel(job_id)
        err.print(f"\nCancelling {job_id}.", highlight=False)
        if job["kind"] == "training":
            err.print(f"Go on with:  vireo resume {job_id}", highlight=False)
        raise typer.Exit(130) from None
    except VireoError as error:
        job = client.job(job_id)
        if job["kind"] == "training" and isinstance(error, Cancelled | TrainingFailed):
            err.print(f"The run can be resumed:  vireo resume {job_id}", highlight=False)
        raise


def _finish(client: Client, job_id: str, as_json: bool) -> None:
    result = _watch(client, job_id, as_json)
    if as_json:
        print_json(result)
        return
    views = {name: each for name, each in (result.get("views") or {}).items() if name != "1x1"}
    tables.metrics(result["model"], {"before": result.get("before"), "after": result["metrics"]} | views, out)
    if result.get("base_to_novel"):
        tables.base_to_novel(result["base_to_novel"], out)
    out.print(f"Report: {client.url}{result['report']}", highlight=False, soft_wrap=True)
    command = f"vireo classify --model {result['model']} VIDEO"
    out.print(f"Ask it:  {command}", highlight=False, soft_wrap=True, markup=False)
    if result.get("open_labels", True):
        out.print(f'or with labels of your own:  {command} --labels "a cat" "a dog"', highlight=False, soft_wrap=True)

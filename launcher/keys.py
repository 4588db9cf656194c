"""`vireo keys`: makes, lists and revokes API keys. It writes to the Redis of this installation and needs no key itself:
whoever may run it may do everything."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from vireo.cli.console import AsJson, out, print_error, print_json
from vireo.cli.exit_codes import Exit
from vireo.errors import VireoError

if TYPE_CHECKING:
    from redis import Redis

    from core.access.keys import ApiKey

_UNITS = {"m": 60, "h": 3600, "d": 86400}


def keys_commands() -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys, and read the audit log.")
    group.command("create")(create)
    group.command("list")(show)
    group.command("revoke")(revoke)
    group.command("audit")(audit)
    return group


def create(
    name: Annotated[str, typer.Argument(help="What the key is for, in your words.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="classify: ask about videos. train: datasets and training as well. admin: everything. Repeat it."
        ),
    ] = None,
    project: Annotated[str, typer.Option(help="The project whose videos, jobs and models the key sees.")] = "default",
    expires: Annotated[str | None, typer.Option(help="How long it is valid: 90d, 12h, 30m. Default: for ever.")] = None,
    requests_per_minute: Annotated[int | None, typer.Option(min=1, help="Most requests in a minute.")] = None,
    video_seconds_per_day: Annotated[int | None, typer.Option(min=1, help="Most seconds of video in 24 hours.")] = None,
    training_minutes_per_day: Annotated[int | None, typer.Option(min=1, help="Most training in 24 hours.")] = None,
    stored_bytes: Annotated[
        int | None, typer.Option(min=1, help="Most bytes of videos and datasets in the project.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key. It is shown once."""
    from core.access.audit import write_entry
    from core.access.keys import Quotas
    from core.access.ring import KeyRing
    from core.access.scopes import SCOPES
    from core.projects import PROJECT_PATTERN

    scopes = tuple(each for each in SCOPES if each in (scope or ["classify"]))
    if unknown := sorted(set(scope or []) - set(SCOPES)):
        raise typer.BadParameter(f"there is no scope {unknown[0]!r}; there are {', '.join(SCOPES)}")
    if not re.fullmatch(PROJECT_PATTERN, project):
        raise typer.BadParameter("a project's name has up to 40 lower-case letters, digits and hyphens")
    quotas = Quotas(
        requests_per_minute=requests_per_minute,
        video_seconds_per_day=video_seconds_per_day,
        training_minutes_per_day=training_minutes_per_day,
        stored_bytes=stored_bytes,
    )
    with _redis(as_json=as_json) as redis:
        key, token = KeyRing(redis).create(name, scopes, project, _seconds(expires), quotas)
        write_entry(redis, "key.create", key.id, project)
    if as_json:
        print_json(_public(key) | {"key": str(token)})
        return
    out.print(str(token), highlight=False, markup=False, soft_wrap=True)
    out.print("This is the only time that the key is shown. Send it as `Authorization: Bearer …`.", style="dim")


def show(as_json: AsJson = False) -> None:
    """List the keys, without their secrets."""
    from core.access.ring import KeyRing

    with _redis(as_json=as_json) as redis:
        found = KeyRing(redis).all()
    if as_json:
        print_json([_public(key) for key in found])
        return
    table = Table("id", "name", "project", "scopes", "made", "expires", box=None)
    for key in found:
        table.add_row(key.id, key.name, key.project, " ".join(key.scopes), _day(key.created_at), _day(key.expires_at))
    out.print(table if found else "There are no keys.")


def revoke(key_id: Annotated[str, typer.Argument(metavar="ID")], as_json: AsJson = False) -> None:
    """Revoke a key. The next request with it is refused."""
    from core.access.audit import write_entry
    from core.access.ring import KeyRing

    with _redis(as_json=as_json) as redis:
        if not KeyRing(redis).revoke(key_id):
            print_error(
                VireoError(f"There is no key {key_id!r}.", hint="`vireo keys list` shows them."), as_json=as_json
            )
            raise typer.Exit(Exit.FAILED)
        write_entry(redis, "key.revoke", key_id)
    if as_json:
        print_json({"revoked": key_id})
    else:
        out.print(f"Revoked {key_id}.", highlight=False)


def audit(
    most: Annotated[int, typer.Option("--limit", min=1, help="Most entries, the newest ones.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Show what keys of the scope `admin` and commands on the server did."""
    from core.access.audit import entries

    with _redis(as_json=as_json) as redis:
        found = list(entries(redis, most))
    if as_json:
        print_json([entry.model_dump() for entry in found])
        return
    table = Table("when", "action", "target", "key", "status", box=None)
    for entry in found:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.at))
        table.add_row(when, entry.action, entry.target, entry.key or "–", str(entry.status or "–"))
    out.print(table if found else "There are no entries.")


@contextmanager
def _redis(*, as_json: bool) -> Iterator[Redis]:
    from core.settings import get_settings
    from launcher.embedded_redis import RedisMissing
    from launcher.redis_at_hand import NoRedis, redis_at_hand

    try:
        with redis_at_hand(get_settings()) as redis:
            yield redis
    except (NoRedis, RedisMissing) as error:
        print_error(VireoError(str(error)), as_json=as_json)
        raise typer.Exit(Exit.UNREACHABLE) from None


def _seconds(duration: str | None) -> float | None:
    """Raises: typer.BadParameter."""
    if duration is None:
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,5})([mhd])", duration)
    if match is None:
        raise typer.BadParameter("a duration is a number and a unit: 30m, 12h, 90d", param_hint="--expires")
    return float(match[1]) * _UNITS[match[2]]


def _day(at: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at)) if at is not None else "never"


def _public(key: ApiKey) -> dict[str, object]:
    return key.model_dump(mode="json", exclude={"digest"})

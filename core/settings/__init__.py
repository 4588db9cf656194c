"""All settings of Vireo: environment variables with the prefix `VIREO_`.

`docs/configuration.md` is rendered from the class `Settings`. Sizes are bytes, durations are seconds, frame sizes are
pixels. This room imports `core.questions`, for the bounds of questions.
"""

from __future__ import annotations

from functools import lru_cache

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from core.settings.access import Access, is_loopback
from core.settings.files import SettingsFiles
from core.settings.kinds import GIB
from core.settings.lifetimes import Lifetimes
from core.settings.limits import ConnectionLimits, RequestLimits
from core.settings.places import Places
from core.settings.work import Work

__all__ = ["GIB", "Settings", "get_settings"]


class Settings(Lifetimes, ConnectionLimits, RequestLimits, Work, Access, Places, BaseSettings):
    """Read once at start, and frozen: settings do not change while a process runs.

    The bases stand in reverse, because that is the order in which pydantic collects their fields.
    """

    model_config = SettingsConfigDict(
        env_prefix="VIREO_",
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,  # a setting that is refused may be a secret
    )

    @property
    def local(self) -> bool:
        """Whether only programs of this machine reach the gateway."""
        return is_loopback(self.published_host or self.host)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """A file is named on purpose, so it counts more than a value, which may be a default of the compose file."""
        return init_settings, SettingsFiles(settings_cls), env_settings, dotenv_settings, file_secret_settings


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    return Settings()

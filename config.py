"""Settings, read from environment variables or ``.env``. ``.env.example`` documents each of them."""

import re
import sys
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

STARTUP_FAILURE = 3  # uvicorn's exit code for a worker that it should not start again
OWN_TABLES = {"alembic_version", "deletions", "idempotency_keys", "tasks", "users"}
SHORTEST_SECRET = 32  # bytes, as RFC 7518 (section 3.2) asks of an HS256 key
FEWEST_CHARACTERS = 8
LONGEST_ORIGIN = 267  # a name of 253 characters between https:// and a port
NEAR = 0.885  # LOG_LEVAL is as near as that to LOG_LEVEL, DATABASE_USER isn't to DATABASE_URL
PLACEHOLDERS = ("betterauthsecret", "changeme", "changethis", "placeholder", "replaceme", "secretkey", "yoursecret")


def _split(value: object) -> object:
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value


def _origin(value: str) -> str:
    origin = value.rstrip("/").lower()
    if not re.fullmatch(r"https?://([a-z0-9._-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?", origin):
        raise ValueError("must be origins such as https://app.example.com, without a path; * is refused")
    if not _port_exists(origin):
        raise ValueError("must be origins with a port up to 65535")
    return _without_default_port(origin)


def _origin_regex(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"must be a regular expression: {error.msg}") from None
    # Written out to the end and without an alternative, so that nothing outside of that domain can match.
    if not re.fullmatch(r"https://[^|]*(\\\.[a-z0-9-]+){2,}(:[0-9]+)?", value):
        raise ValueError(
            r"must be as https://app-[a-z0-9-]+\.example\.com: https, an end of two names or more, each after \. "
            r"since . alone is any character, and no |"
        )
    # An Origin can be as long as a header, and to match that could take minutes.
    return rf"(?=.{{,{LONGEST_ORIGIN}}}\Z){value}"


def _without_default_port(origin: str) -> str:
    """As browsers write an origin, and Better Auth (RFC 6454, section 6.1)."""
    return re.sub(r"^(https://.*):443$|^(http://.*):80$", r"\1\2", origin)


def _port_exists(address: str) -> bool:
    try:
        return urlsplit(address).port != 0
    except ValueError:
        return False


def _postgres_url(url: SecretStr) -> SecretStr:
    text = url.get_secret_value()
    try:
        ports = str(conninfo_to_dict(text).get("port") or "5432").split(",")
        known = text.startswith(("postgres://", "postgresql://")) and all(0 < int(port) < 65536 for port in ports)
    except (psycopg.ProgrammingError, ValueError):
        known = False
    if not known:
        raise ValueError("must be a PostgreSQL URL such as postgresql://user:password@host/database")
    return url


def _strong_secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if len(text.encode()) < SHORTEST_SECRET:
        raise ValueError("must have at least 32 bytes; make one with: openssl rand -base64 32")
    letters = re.sub(r"[^a-z0-9]", "", text.lower())
    if len(set(text)) < FEWEST_CHARACTERS or any(word in letters for word in PLACEHOLDERS):
        raise ValueError("is a placeholder that others know; make one with: openssl rand -base64 32")
    return secret


def _address(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/@?#]+(/[^\s?#]*)?", value):
        raise ValueError("must be an address such as https://app.example.com")
    if not _port_exists(value):
        raise ValueError("must have a port up to 65535")
    return value.rstrip("/")


def _table_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?", value):
        raise ValueError("must be the name of a table, or of a schema and a table with a dot between")
    if value.removeprefix("public.") in OWN_TABLES:
        raise ValueError("must be Better Auth's table, and not one of this service's own")
    return value


def _rate_limit(value: str) -> str:
    from limits import parse  # noqa: PLC0415 (most services have none)

    try:
        parse(value)
    except ValueError:
        raise ValueError("must be a number of requests and a time, such as 100/minute") from None
    return value


def _store(value: str) -> str:
    if not re.match(r"(memory|rediss?)://", value):
        raise ValueError("must be memory://, or the redis:// address of a store that all workers share")
    if not value.startswith("memory") and find_spec("coredis") is None:
        raise ValueError("needs a client of Redis: pip install coredis")
    return value


Address = Annotated[str, AfterValidator(_address)]
TableName = Annotated[str, AfterValidator(_table_name)]
PostgresUrl = Annotated[SecretStr, AfterValidator(_postgres_url)]
StrongSecret = Annotated[SecretStr, AfterValidator(_strong_secret)]
Names = Annotated[list[str], NoDecode, BeforeValidator(_split)]
OriginRegex = Annotated[str, AfterValidator(_origin_regex)]
Origins = Annotated[list[Annotated[str, AfterValidator(_origin)]], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """The service's configuration; a wrong value raises ``pydantic.ValidationError``."""

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore")

    database_url: PostgresUrl | None = None
    database_pool_size: int = Field(10, ge=1, le=100)
    database_pool_timeout: float = Field(2.0, gt=0, le=60)
    database_statement_timeout: float = Field(5.0, gt=0, le=60)
    database_prepare: bool = True
    data_dir: Path = Path(".data")
    better_auth_secret: StrongSecret | None = None
    better_auth_url: Address | None = None
    better_auth_user_table: TableName | None = None
    jwt_jwks_url: Address | None = None
    jwt_issuer: Names = []
    jwt_audience: Names = []
    cors_origins: Origins = ["http://localhost:3000"]
    cors_origin_regex: OriginRegex | None = None
    max_tasks: int = Field(100_000, ge=1, le=2**31 - 1)
    rate_limit: Annotated[str, AfterValidator(_rate_limit)] | None = None
    rate_limit_store: Annotated[str, AfterValidator(_store)] = "memory://"
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(str.lower)] = "info"
    log_format: Annotated[Literal["text", "json"], BeforeValidator(str.lower)] = "text"
    access_log: bool = True
    debug: bool = False

    @model_validator(mode="after")
    def _has_keys(self) -> Self:
        if self.database_url and not (self.better_auth_url or self.better_auth_secret):
            raise ValueError(
                "BETTER_AUTH_URL or BETTER_AUTH_SECRET must be set where DATABASE_URL is, to verify tokens"
            )
        if self.jwt_jwks_url and not self.better_auth_url:
            raise ValueError("JWT_JWKS_URL needs BETTER_AUTH_URL, whose tokens its keys verify")
        return self

    @property
    def better_auth_origin(self) -> str:
        """What Better Auth writes as issuer and audience: its URL without a path."""
        return _without_default_port(re.sub(r"(://[^/]+).*", r"\1", self.better_auth_url or "").lower())

    @property
    def key_set_url(self) -> str:
        """Better Auth serves its key set below its own base path, unless JWT_JWKS_URL says otherwise."""
        if self.jwt_jwks_url:
            return self.jwt_jwks_url
        base = self.better_auth_url or ""
        return f"{base}/jwks" if urlsplit(base).path else f"{base}/api/auth/jwks"


def load_settings() -> Settings:
    """Read the settings, or end the process with one sentence for each that is wrong, never its value."""
    try:
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"Configuration error: .env can't be read: {error}.\n")
        raise SystemExit(STARTUP_FAILURE) from None
    except ValidationError as error:
        for problem in error.errors():
            name = str(problem["loc"][0]).upper() + " " if problem["loc"] else ""
            sys.stderr.write(f"Configuration error: {name}{problem['msg'].removeprefix('Value error, ')}.\n")
        raise SystemExit(STARTUP_FAILURE) from None


def misspelt(settings: Settings) -> list[str]:
    """A sentence for each name in ``.env`` that is nearly one of a setting which isn't set.

    Nothing is said of other unknown names, which may be the frontend's.
    """
    file = Path(".env")
    names = re.findall(r"^\s*(?:export\s+)?(\w+)\s*=", file.read_text("utf-8"), re.MULTILINE) if file.is_file() else []
    unset = [name.upper() for name in Settings.model_fields if name not in settings.model_fields_set]
    return [
        f"{name} in .env is no setting of this service: did you mean {near[0]}?"
        for name in dict.fromkeys(names)
        if name.lower() not in Settings.model_fields and (near := get_close_matches(name.upper(), unset, 1, NEAR))
    ]

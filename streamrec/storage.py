"""Places for history and versions: a folder on a local disk, or `s3://bucket/prefix`.

In: a URL and the settings of object stores. Out: fsspec's file system and the path on it, for history; the
plain client of an object store, for versions, which need what fsspec does not pass on: objects that are
put only where there is none yet. fsspec and s3fs are the extras `history` and `s3`; nothing of them is
imported before a place is opened.
"""

from typing import TYPE_CHECKING, Any, Final

from streamrec.config import StorageSettings
from streamrec.errors import ConfigError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = ["object_store_client", "open_place"]

_CONNECT_S: Final = 3.0
_READ_S: Final = 20.0
# With pauses of up to 1, 2 and 4 s between them.
_ATTEMPTS: Final = 4
# As many versions are looked at side by side.
_CONNECTIONS: Final = 16

# A store that does not answer is known for away within half a minute; callers try again.
_TIMEOUTS: Final = {
    "config_kwargs": {"connect_timeout": 5, "read_timeout": 20, "retries": {"max_attempts": 1}}
}


def open_place(url: str, storage: StorageSettings) -> "tuple[AbstractFileSystem, str]":
    """The file system that a URL names, and the path on it; a plain path is a local folder.

    Nothing is asked of the place yet. Raises ConfigError if its kind is not known or not installed.
    """
    kind, _, _ = url.rpartition("://")
    if kind not in ("", "file", "s3"):
        raise ConfigError(f"{url}: a place is a folder or s3://bucket/prefix, not {kind}://")
    try:
        import fsspec

        system, path = fsspec.core.url_to_fs(
            url, **({**_object_store(storage), **_TIMEOUTS} if kind == "s3" else {})
        )
    except ImportError as error:
        extra = "s3" if kind == "s3" else "history"
        raise ConfigError(f'{url}: {error.name} is not installed; pip install "streamrec[{extra}]"') from None
    return system, path


def _object_store(storage: StorageSettings) -> dict[str, Any]:
    client = {"endpoint_url": storage.endpoint, "region_name": storage.region}
    options: dict[str, Any] = {"client_kwargs": {name: value for name, value in client.items() if value}}
    if storage.access_key is not None and storage.secret_key is not None:
        options |= {
            "key": storage.access_key.get_secret_value(),
            "secret": storage.secret_key.get_secret_value(),
        }
    return options


def object_store_client(storage: StorageSettings) -> Any:
    """botocore's client of the object store; it may be shared by threads. Nothing is asked yet.

    Raises ConfigError if it is not installed, or cannot be made of the settings.
    """
    try:
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
        from botocore.session import get_session
    except ImportError as error:
        raise ConfigError(f'{error.name} is not installed; pip install "streamrec[s3]"') from None
    options = _object_store(storage)
    config = Config(
        connect_timeout=_CONNECT_S,
        read_timeout=_READ_S,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        max_pool_connections=_CONNECTIONS,
        # Every file is compared with the manifest's sha256: what is damaged is to be found by that.
        response_checksum_validation="when_required",
    )
    try:
        return get_session().create_client(
            "s3",
            **options["client_kwargs"],
            aws_access_key_id=options.get("key"),
            aws_secret_access_key=options.get("secret"),
            config=config,
        )
    except (BotoCoreError, ValueError) as error:
        raise ConfigError(
            f"the object store cannot be used: {error}; see STREAMREC_STORAGE__ENDPOINT and …__REGION"
        ) from None

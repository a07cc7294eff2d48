"""Versions in an object store: `s3://bucket/prefix/<model>/<version>/<file>`.

Objects appear one by one, so the manifest makes a version: it is put last, and what has none is not there.
Every object is put only where there is none yet: of two that publish a version at once the one that puts the
first file goes on, and what is published never changes. Removing begins with the manifest.

Conditional puts: Amazon S3 since August 2024, MinIO, Ceph; a store that ignores the condition still refuses
what was there before publishing began.
"""

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from streamrec.artifact import MANIFEST, SIGNATURE
from streamrec.config import StorageSettings
from streamrec.errors import ArtifactError, RegistryError, StorageError
from streamrec.storage import object_store_client

__all__ = ["S3Store"]

_NOT_THERE: Final = ("NoSuchKey", "404", "NotFound")
_TAKEN: Final = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_NOT_LET_IN: Final = (
    *("AccessDenied", "403", "Forbidden", "AllAccessDisabled", "AccountProblem"),
    *("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "NoCredentialsError"),
)
_OWN_FILE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class _Found(NamedTuple):
    size_bytes: int
    changed_s: float


class S3Store:
    """Versions below s3://bucket/prefix. A stores.Store."""

    def __init__(self, url: str, storage: StorageSettings) -> None:
        self._url = url
        self._bucket, _, prefix = url.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._endpoint = storage.endpoint or "Amazon S3"
        self._client = object_store_client(storage)

    @property
    def place(self) -> str:
        """See Store."""
        return self._url

    def location(self, model: str, version: str) -> str:
        """See Store."""
        return f"{self._url}/{model}/{version}"

    def models(self) -> list[str]:
        """See Store."""
        pages = self._pages(self._prefix, Delimiter="/")
        prefixes = (each["Prefix"] for page in pages for each in page.get("CommonPrefixes", ()))
        return [prefix.removeprefix(self._prefix).rstrip("/") for prefix in prefixes]

    def versions(self, model: str) -> dict[str, float]:
        """See Store."""
        folders = self._folders(model)
        return {name: files[MANIFEST].changed_s for name, files in folders.items() if MANIFEST in files}

    def has(self, model: str, version: str) -> bool:
        """See Store. What has no manifest is not there."""
        return self.files(model, version).has(MANIFEST)

    def files(self, model: str, version: str) -> "_S3Files":
        """See Store."""
        return _S3Files(self, model, version)

    def publish(self, model: str, version: str, write: Callable[[Path], None]) -> None:
        """See Store."""
        place = self.location(model, version)
        there = self._list(f"{model}/{version}/")
        if MANIFEST in there:
            raise RegistryError(f"{place}: this version exists; versions are never changed")
        if there:
            raise RegistryError(
                f"{place}: somebody publishes it just now, or was killed while doing so; "
                "`streamrec models prune` removes what is left after a day"
            )
        with tempfile.TemporaryDirectory(prefix="streamrec-") as folder:
            beside = Path(folder)
            write(beside)
            self._put_all(model, version, {path.name: path for path in sorted(beside.iterdir())})

    def _put_all(self, model: str, version: str, files: Mapping[str, Path]) -> None:
        put: list[str] = []
        try:
            for name, path in files.items():
                if name != MANIFEST:
                    self._put_new(f"{model}/{version}/{name}", path)
                    put.append(name)
            self._require_whole(model, version, {name: files[name] for name in put})
        except BaseException:
            with suppress(StorageError):  # prune comes by
                self._delete(f"{model}/{version}/{name}" for name in put)
            raise
        # Whatever becomes of this one: as long as the answer is not known, nothing may be taken back.
        self._put_new(f"{model}/{version}/{MANIFEST}", files[MANIFEST])

    def _require_whole(self, model: str, version: str, files: Mapping[str, Path]) -> None:
        there = self._list(f"{model}/{version}/")
        for name, path in files.items():
            size, found = path.stat().st_size, there.get(name)
            if found is None or found.size_bytes != size:
                raise StorageError(
                    f"{self.location(model, version)}/{name}: {size} bytes were put at {self._endpoint}, "
                    f"there are {found.size_bytes if found else 'none'}; the version is not published"
                )

    def _put_new(self, name: str, path: Path) -> None:
        """Put an object where there is none. Raises RegistryError if there is one."""
        try:
            with self._asking("PutObject", name), path.open("rb") as file:
                self._client.put_object(
                    Bucket=self._bucket, Key=f"{self._prefix}{name}", Body=file, IfNoneMatch="*"
                )
        except _TakenError as error:
            # A repeat of ours, whose first answer was lost, finds what it has put.
            if error.retried and self.read(name, path.stat().st_size) == path.read_bytes():
                return
            raise RegistryError(
                f"{self._url}/{name}: somebody else has just published this; versions are never changed"
            ) from None

    def sign(self, model: str, version: str, signature: bytes) -> None:
        """See Store."""
        key = f"{self._prefix}{model}/{version}/{SIGNATURE}"
        with self._asking("PutObject", f"{model}/{version}/{SIGNATURE}"):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=signature)

    def remove(self, model: str, version: str) -> None:
        """See Store."""
        folder = f"{model}/{version}/"
        self._delete([f"{folder}{MANIFEST}"])
        self._delete(f"{folder}{name}" for name in self._list(folder))

    def leftovers(self, model: str, before_s: float) -> list[str]:
        """See Store."""
        return sorted(
            name
            for name, files in self._folders(model).items()
            if MANIFEST not in files and max(each.changed_s for each in files.values()) < before_s
        )

    def discard(self, model: str, leftover: str) -> None:
        """See Store."""
        there = self._list(f"{model}/{leftover}/")
        if MANIFEST in there:
            raise RegistryError(f"{self.location(model, leftover)}: has been published meanwhile")
        self._delete(f"{model}/{leftover}/{name}" for name in there)

    def exists(self, name: str) -> bool:
        """Whether there is an object of that name below the prefix."""
        # Asked by a list, because HEAD does not tell a bucket that is missing from an object that is.
        return "" in self._list(name)

    def read(self, name: str, max_bytes: int) -> bytes:
        """A whole object. Raises ArtifactError if it is not there or is larger, StorageError."""
        try:
            with self._asking("GetObject", name):
                found = self._client.get_object(Bucket=self._bucket, Key=f"{self._prefix}{name}")
                size: int = found["ContentLength"]
                with closing(found["Body"]) as body:
                    value: bytes = body.read() if size <= max_bytes else b""
        except FileNotFoundError:
            raise ArtifactError(
                f"{self._url}/{name}: cannot be read (no such object); the artifact is incomplete"
            ) from None
        if size > max_bytes:
            raise ArtifactError(
                f"{self._url}/{name}: {size} bytes, more than the {max_bytes} allowed; "
                "copy or export the artifact again"
            )
        if len(value) != size:
            raise StorageError(f"{self._url}/{name}: {self._endpoint} sent {len(value)} of {size} bytes")
        return value

    def _folders(self, model: str) -> dict[str, dict[str, _Found]]:
        folders: dict[str, dict[str, _Found]] = {}
        for name, found in self._list(f"{model}/").items():
            folder, _, file = name.partition("/")
            if folder and _OWN_FILE.fullmatch(file):
                folders.setdefault(folder, {})[file] = found
        return folders

    def _list(self, folder: str) -> dict[str, _Found]:
        """The objects whose names begin so, by what follows: those in a folder that ends in a slash."""
        start = f"{self._prefix}{folder}"
        return {
            each["Key"].removeprefix(start): _Found(each["Size"], each["LastModified"].timestamp())
            for page in self._pages(start)
            for each in page.get("Contents", ())
        }

    def _pages(self, prefix: str, **options: str) -> Iterator[Mapping[str, Any]]:
        with self._asking("ListBucket", ""):
            pages = self._client.get_paginator("list_objects_v2")
            yield from pages.paginate(Bucket=self._bucket, Prefix=prefix, **options)

    def _delete(self, names: "Iterator[str] | list[str]") -> None:
        for name in names:
            # Amazon's answer is the same whether there was one; others' is not.
            with suppress(FileNotFoundError), self._asking("DeleteObject", name):
                self._client.delete_object(Bucket=self._bucket, Key=f"{self._prefix}{name}")

    @contextmanager
    def _asking(self, right: str, name: str) -> Iterator[None]:
        """botocore's errors inside are StorageErrors outside, but for what is not there, or is there already.

        right: the s3: right that is needed.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        what = f"{self._url}/{name}".rstrip("/")
        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code == "NoSuchBucket":
                raise StorageError(
                    f"{what}: {self._endpoint} has no bucket {self._bucket}; make it, or set "
                    "STREAMREC_REGISTRY__PATH to another"
                ) from None
            if code in _NOT_THERE:
                raise FileNotFoundError(name) from None
            if code in _TAKEN:
                retries = error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0)
                raise _TakenError(retries > 0) from None
            if code in _NOT_LET_IN:
                raise StorageError(
                    f"{what}: {self._endpoint} does not let us ({code}): it takes s3:{right}, "
                    "and the keys of STREAMREC_STORAGE__ACCESS_KEY and …__SECRET_KEY, or of AWS_* and ~/.aws"
                ) from None
            raise StorageError(f"{what}: {self._endpoint} refuses: {error}") from None
        except BotoCoreError as error:
            raise StorageError(
                f"{what}: {self._endpoint} does not answer as it should: {error}; "
                "is STREAMREC_STORAGE__ENDPOINT right, and is it up?"
            ) from None


class _S3Files:
    """The files of one version. An artifact.Files."""

    def __init__(self, store: S3Store, model: str, version: str) -> None:
        self._store = store
        self._folder = f"{model}/{version}"

    @property
    def place(self) -> str:
        return f"{self._store.place}/{self._folder}"

    def has(self, name: str) -> bool:
        return self._store.exists(f"{self._folder}/{name}")

    def read(self, name: str, max_bytes: int) -> bytes:
        return self._store.read(f"{self._folder}/{name}", max_bytes)


class _TakenError(Exception):
    def __init__(self, retried: bool) -> None:
        super().__init__()
        self.retried = retried

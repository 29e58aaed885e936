"""Models in object storage: `models/{name}/manifest.json` names every file of a model's folder,
with its size and its SHA-256; the files lie beside it. A name's files never change: a new version
has a new name.

`python -m services.generation.model_files FOLDER NAME` puts a folder there, the manifest last.
"""

import asyncio
import hashlib
import sys
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from libs.kernel.settings import load
from libs.storage.objects import ObjectStore
from libs.triton.contract import ModelName
from services.generation.settings import ModelStoreSettings, model_store_of

PREFIX = "models/"
MANIFEST = "manifest.json"
MARKER = ".fetched.json"  # of a worker, in a folder that it fetched: the manifest
CHUNK_BYTES = 2**20
MAX_FILES = 1_000
NAMES: TypeAdapter[str] = TypeAdapter(ModelName)


def inner_path(path: str) -> str:
    """A path that stays inside its folder. Raises ValueError."""
    parts = PurePosixPath(path).parts
    plain = str(PurePosixPath(path)) == path and "\\" not in path and "\0" not in path
    if not plain or path.startswith("/") or ".." in parts or path in (".", MANIFEST, MARKER):
        raise ValueError("not a path inside the model's folder")
    return path


class ModelFile(BaseModel):
    """One file. `path` is relative to the model's folder, with `/` between its parts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Annotated[str, Field(min_length=1, max_length=500), AfterValidator(inner_path)]
    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Manifest(BaseModel):
    """Every file of a model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    files: Annotated[tuple[ModelFile, ...], Field(min_length=1, max_length=MAX_FILES)]

    @property
    def bytes(self) -> int:
        """All files together."""
        return sum(file.bytes for file in self.files)


def key_of(name: str, path: str) -> str:
    """Where a file of a model lies in object storage."""
    return f"{PREFIX}{name}/{path}"


def digest_of(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while chunk := opened.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def make_manifest(folder: Path) -> Manifest:
    """The manifest of a folder as it is. Raises ValidationError for a folder without files."""
    marker = folder / MARKER
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file != marker)
    return Manifest(
        files=tuple(
            ModelFile(
                path=file.relative_to(folder).as_posix(),
                bytes=file.stat().st_size,
                sha256=digest_of(file),
            )
            for file in files
        )
    )


async def publish_model(store: ObjectStore, folder: Path, name: str) -> Manifest:
    """Put a model's folder into object storage. Raises ValidationError, StorageUnavailable.

    The manifest comes last: whoever sees it sees all.
    """
    NAMES.validate_python(name)
    manifest = await asyncio.to_thread(make_manifest, folder)
    for file in manifest.files:
        await store.upload(key_of(name, file.path), folder / file.path)
    body = manifest.model_dump_json(indent=2).encode()
    await store.put(key_of(name, MANIFEST), body, content_type="application/json")
    return manifest


def main() -> None:
    """FOLDER NAME, and the EASEL_S3_* settings."""
    if len(sys.argv) != 3:
        sys.exit("usage: python -m services.generation.model_files FOLDER NAME")
    store = model_store_of(load(ModelStoreSettings))
    if store is None:
        sys.exit("EASEL_S3_BUCKET_MODELS: names no bucket")
    try:
        manifest = asyncio.run(publish_model(store, Path(sys.argv[1]), sys.argv[2]))
    except ValidationError as error:
        sys.exit(f"not a model: {error.errors()[0]['msg']}")
    print(f"{len(manifest.files)} files, {manifest.bytes / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()

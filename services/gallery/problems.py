"""What can go wrong in the gallery, as its caller sees it."""

from collections.abc import Iterator
from contextlib import contextmanager

from libs.kernel.problems import (
    Conflict,
    NotFound,
    Problem,
    RateLimited,
    ServiceUnavailable,
    ValidationFailed,
)
from libs.storage.objects import StorageUnavailable


class ImageNotFound(NotFound):
    slug, title = "image-not-found", "There is no image of yours with that id"


class BoardNotFound(NotFound):
    slug, title = "board-not-found", "There is no board of yours with that id"


class BoardNameTaken(Conflict):
    slug, title = "board-name-taken", "You have a board of that name"


class ImageNotValid(ValidationFailed):
    slug, title = "image-not-valid", "The uploaded file is no picture that can be kept"


class ImageNotGenerated(Conflict):
    slug, title = "image-not-generated", "This image was uploaded: no request makes it again"


class UploadNotFound(NotFound):
    slug, title = "upload-not-found", "There is no upload of yours with that id, or it has expired"


class UploadNotFinished(Conflict):
    slug, title = "upload-not-finished", "The file has not arrived"


class TooManyUploads(RateLimited):
    slug, title = "too-many-uploads", "Too many of your uploads are not finished"


class StorageFull(Problem):
    slug, status, title = "storage-full", 507, "Your plan's storage is full"


@contextmanager
def store_must_answer() -> Iterator[None]:
    """While the object store is away, what needs it is answered with 503."""
    try:
        yield
    except StorageUnavailable as error:
        raise ServiceUnavailable("The object store does not answer") from error

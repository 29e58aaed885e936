"""What can go wrong in the gallery, as its caller sees it."""

from libs.kernel.problems import Conflict, NotFound


class ImageNotFound(NotFound):
    slug, title = "image-not-found", "There is no image of yours with that id"


class BoardNotFound(NotFound):
    slug, title = "board-not-found", "There is no board of yours with that id"


class BoardNameTaken(Conflict):
    slug, title = "board-name-taken", "You have a board of that name"

"""What can go wrong with a generation, as its caller sees it."""

from libs.kernel.problems import Conflict, NotFound


class GenerationNotFound(NotFound):
    slug, title = "generation-not-found", "There is no generation of yours with that id"


class AlreadyFinished(Conflict):
    slug, title = "already-finished", "The generation has finished and cannot be cancelled"

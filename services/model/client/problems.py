"""What can go wrong with models."""

from libs.kernel.problems import NotFound


class ModelNotFound(NotFound):
    slug, title = "model-not-found", "There is no model of that name"

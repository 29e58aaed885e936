"""Where an export keeps what, for those who use one."""

FILE = "model.onnx"
REPOSITORY = "repository"


def served_name(model: str, part: str) -> str:
    """The name of a part in Triton, where parts of several pipelines live side by side."""
    return f"{model}-{part}"

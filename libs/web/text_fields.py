"""Text that people type: what every field of a request refuses."""

from typing import Annotated
from unicodedata import category

from pydantic import AfterValidator, StringConstraints

LINE_BREAKS = "\n\r\t"
MAX_NAME_LENGTH = 80


def refuse_control_characters(text: str) -> str:
    """Raises ValueError for control characters other than line breaks and tabs.

    They cannot be stored (NUL) or would act in logs and terminals; U+0080 to U+009F do, too.
    """
    if any(category(character) == "Cc" and character not in LINE_BREAKS for character in text):
        raise ValueError("must not contain control characters")
    return text


PlainText = Annotated[str, AfterValidator(refuse_control_characters)]
# the constraints come first: what is refused or counted is the text without the spaces around it
Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME_LENGTH),
    AfterValidator(refuse_control_characters),
]

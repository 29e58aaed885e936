"""What customers are told: the types of messages, and their form (Standard Webhooks, "Payload")."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, get_args
from uuid import UUID

from libs.kernel.ids import new_id

MessageType = Literal[
    "generation.succeeded",
    "generation.partial",
    "generation.failed",
    "generation.cancelled",
    "generation.expired",
    "image.created",
]
MESSAGE_TYPES: tuple[MessageType, ...] = get_args(MessageType)
TEST_TYPE = "webhook.test"  # sent when its owner asks for it, whatever the endpoint listens to


@dataclass(frozen=True)
class Message:
    """Something that happened at `at` (UTC). `id` is the same for every endpoint and every try."""

    type: str
    at: datetime
    data: dict[str, Any]
    id: UUID = field(default_factory=new_id)

    def body(self) -> str:
        """The JSON that is signed and sent, as small as it gets."""
        moment = self.at.astimezone(UTC).isoformat().replace("+00:00", "Z")
        document = {"type": self.type, "timestamp": moment, "data": self.data}
        return json.dumps(document, separators=(",", ":"))

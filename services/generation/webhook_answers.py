"""From a delivery's row to what its owner sees."""

import json

from libs.webhooks.models import Delivery
from services.generation.webhook_schemas import DeliveryAnswer, TryAnswer


def show_delivery(delivery: Delivery) -> DeliveryAnswer:
    """A delivery with its newest tries."""
    return DeliveryAnswer(
        id=delivery.id,
        message_id=delivery.message_id,
        type=delivery.type,
        payload=json.loads(delivery.body),
        state=delivery.state,
        attempts=delivery.attempt,
        next_try_at=delivery.next_try_at if delivery.state == "pending" else None,
        created_at=delivery.created_at,
        finished_at=delivery.finished_at,
        tries=[TryAnswer.model_validate(entry) for entry in delivery.log],
    )

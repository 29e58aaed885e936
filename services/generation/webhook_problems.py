"""What can go wrong with webhooks, as their owner sees it."""

from libs.kernel.problems import Conflict, NotFound


class WebhookNotFound(NotFound):
    slug, title = "webhook-not-found", "There is no webhook of yours with that id"


class DeliveryNotFound(NotFound):
    slug, title = "webhook-delivery-not-found", "There is no such delivery of that webhook"


class TooManyWebhooks(Conflict):
    slug, title = "too-many-webhooks", "You have as many webhooks as anybody may have"


class WebhookDisabled(Conflict):
    slug, title = "webhook-disabled", "The webhook is switched off"

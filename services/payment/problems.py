"""What can go wrong with plans and payments, as the customer sees it."""

from libs.kernel.problems import Conflict, NotFound, ServiceUnavailable


class BillingUnavailable(ServiceUnavailable):
    slug, title = "billing-unavailable", "The payment provider does not answer"


class BillingRefused(Conflict):
    slug, title = "billing-refused", "The payment provider refuses this"


class AlreadySubscribed(Conflict):
    slug, title = "already-subscribed", "You have a subscription; change its plan instead"


class SubscriptionNotFound(NotFound):
    slug, title = "subscription-not-found", "You have no subscription"


class SubscriptionNotActive(Conflict):
    slug, title = "subscription-not-active", "Your subscription cannot be changed as it is"


class NotCancelled(Conflict):
    slug, title = "not-cancelled", "Your subscription is not cancelled"


class UserNotFound(NotFound):
    slug, title = "user-not-found", "There is no such user"


class PlanUnchanged(Conflict):
    slug, title = "plan-unchanged", "This is your plan already"


class ChangeNotOffered(Conflict):
    slug, title = "change-not-offered", "This change cannot be made in one step"

"""Functions that run as the owner of the tables, and why each must.

Forced row security holds for the owner, too: such a function sees other tenants' rows only where a
policy for easel_owner says so. docs/security.md shows this list.
"""

from collections.abc import Mapping

LEDGER = "the ledger is written by its own verbs alone; no service role may touch its tables"
BEFORE_A_TENANT = "asked before anybody is known, by a secret that only its owner can show"
DEFINERS: Mapping[str, str] = {
    "credits.balance_of_tenant": "reads the tenant's own sums for a service without rights there",
    "credits.close_account": LEDGER,
    "credits.close_grant": LEDGER,
    "credits.end_grant": LEDGER,
    "credits.expire_credits": LEDGER,
    "credits.grant_credits": LEDGER,
    "credits.hold_credits": LEDGER,
    "credits.open_account": LEDGER,
    "credits.passed_cap": LEDGER,
    "credits.release_expired_holds": LEDGER,
    "credits.schedule_free_month": LEDGER,
    "credits.set_spend_cap": LEDGER,
    "credits.settle_hold": LEDGER,
    "credits.take_back": LEDGER,
    "gallery.stored_bytes_of_tenant": "sums the tenant's own images for a service without rights",
    "generation.claim_job": "the order of service reads and moves everybody's places",
    "generation.dead_letters": "administrators, as the database knows them, see what failed",
    "generation.find_owner": "tells administrators, as the database knows them, whose a job is",
    "generation.give_back": "corrects the order of service, which no service may write",
    "generation.keep_queue": "keeps places and leases in step with jobs, whoever changes one",
    "generation.usage_of_tenant": "counts the tenant's own jobs for a service without rights there",
    "identity.address_of_tenant": "tells who writes to the tenant the tenant's own address",
    "identity.change_access": "roles and suspension change here alone, if the tenant is an admin",
    "identity.drop_pending_registrations": "voids what waits for the tenant's own address",
    "identity.find_identity_owner": "who signs in with a provider is known by it before by us",
    "identity.find_login": "who logs in is nobody's tenant yet",
    "identity.find_pending_owner": BEFORE_A_TENANT,
    "identity.find_reset_owner": BEFORE_A_TENANT,
    "identity.find_token_owner": BEFORE_A_TENANT,
    "identity.forget_expired_requests": "deletes what nobody can use any more",
    "identity.forget_letters": "deletes the letters to the tenant's own address",
    "identity.tenant_is_staff": "asks for the tenant's role as it is now, not as the token says",
    "ops.find_api_key": BEFORE_A_TENANT,
    "ops.outbox_names_tenant": "asks whether messages still name the tenant, who is to be erased",
}

"""Who may pass a table that forces row security, beside its tenants: role, command, rows."""

# Only in a transaction that asks for it, of a tenant who has the role in the database now.
STAFF = (
    "( SELECT identity.tenant_is_staff(ARRAY['support'::text, 'admin'::text]) AS tenant_is_staff)"
)
ADMIN = "( SELECT identity.tenant_is_staff(ARRAY['admin'::text]) AS tenant_is_staff)"
OWN_ADDRESS = """(email = ( SELECT u.email
   FROM identity.users u
  WHERE (u.id = ops.current_tenant())))"""

# Who may pass a forced table, and for what. Sweepers and workers serve everybody; the owner's
# SELECT is what SECURITY DEFINER functions see; official models belong to nobody.
OWN_LETTERS = (
    "(recipient = ( SELECT u.email\n   FROM identity.users u\n  WHERE (u.id = ( SELECT"
    " ops.current_tenant() AS current_tenant))))"
)
PASSES = {
    ("billing.inbox", "easel_billing", "ALL", "true"),
    ("billing.invoices", "easel_billing", "ALL", "true"),
    ("billing.observations", "easel_billing", "ALL", "true"),
    ("billing.orders", "easel_billing", "ALL", "true"),
    ("billing.subscriptions", "easel_billing", "ALL", "true"),
    ("billing.take_backs", "easel_billing", "ALL", "true"),
    ("credits.accounts", "easel_billing", "SELECT", "true"),
    ("credits.grants", "easel_billing", "SELECT", "true"),
    ("credits.holds", "easel_billing", "SELECT", "true"),
    ("credits.pockets", "easel_billing", "SELECT", "true"),
    ("credits.reversals", "easel_billing", "SELECT", "true"),
    ("credits.spend_caps", "easel_billing", "SELECT", "true"),
    ("credits.transfers", "easel_billing", "SELECT", "true"),
    (
        "gallery.uploads",
        "easel_gallery",
        "SELECT",
        "((ops.current_tenant() IS NULL) AND (expires_at < (now() - '00:10:00'::interval)))",
    ),
    ("generation.flows", "easel_owner", "ALL", "true"),
    ("generation.flows", "easel_relay", "ALL", "true"),
    ("generation.jobs", "easel_owner", "SELECT", "true"),
    ("generation.jobs", "easel_owner", "UPDATE", "true"),
    ("generation.jobs", "easel_relay", "SELECT", "true"),
    ("generation.jobs", "easel_relay", "UPDATE", "true"),
    ("generation.jobs", "easel_worker", "SELECT", "true"),
    ("generation.jobs", "easel_worker", "UPDATE", "true"),
    ("generation.leases", "easel_owner", "ALL", "true"),
    ("generation.leases", "easel_relay", "ALL", "true"),
    ("generation.leases", "easel_worker", "ALL", "true"),
    ("identity.identities", "easel_owner", "SELECT", "true"),
    ("identity.password_resets", "easel_owner", "DELETE", "(expires_at < now())"),
    ("identity.password_resets", "easel_owner", "SELECT", "true"),
    ("identity.pending_registrations", "easel_owner", "DELETE", "(expires_at < now())"),
    ("identity.pending_registrations", "easel_owner", "DELETE", OWN_ADDRESS),
    ("identity.pending_registrations", "easel_owner", "SELECT", "true"),
    ("identity.erasures", "easel_account", "ALL", "true"),
    ("identity.exports", "easel_account", "ALL", "true"),
    ("identity.refresh_tokens", "easel_owner", "SELECT", "true"),
    ("identity.users", "easel_owner", "SELECT", "true"),
    ("identity.users", "easel_owner", "UPDATE", "true"),
    ("identity.users", "easel_user", "SELECT", STAFF),
    ("models.models", "easel_model", "SELECT", "(user_id IS NULL)"),
    ("ops.audit_log", "easel_billing", "INSERT", "true"),
    ("ops.audit_log", "easel_user", "INSERT", "(user_id IS NULL)"),
    ("ops.audit_log", "easel_user", "SELECT", ADMIN),
    ("ops.api_keys", "easel_owner", "SELECT", "true"),
    ("ops.api_keys", "easel_owner", "UPDATE", "true"),
    ("ops.entitlements", "easel_owner", "SELECT", "true"),
    ("ops.emails", "easel_owner", "SELECT", OWN_LETTERS),
    ("ops.emails", "easel_owner", "DELETE", OWN_LETTERS),
    ("ops.emails", "easel_billing", "INSERT", "true"),
    ("ops.emails", "easel_billing", "SELECT", "true"),
    ("ops.emails", "easel_billing", "UPDATE", "true"),
    ("ops.entitlements", "easel_user", "SELECT", STAFF),
    ("ops.entitlements", "easel_worker", "SELECT", "true"),
    ("ops.idempotency_keys", "easel_relay", "DELETE", "true"),
    ("ops.idempotency_keys", "easel_relay", "SELECT", "true"),
    ("webhooks.deliveries", "easel_relay", "DELETE", "true"),
    ("webhooks.deliveries", "easel_relay", "SELECT", "true"),
    ("webhooks.deliveries", "easel_relay", "UPDATE", "true"),
    ("webhooks.endpoints", "easel_relay", "SELECT", "true"),
    ("webhooks.endpoints", "easel_relay", "UPDATE", "true"),
    ("webhooks.secrets", "easel_relay", "DELETE", "true"),
    ("webhooks.secrets", "easel_relay", "SELECT", "true"),
}

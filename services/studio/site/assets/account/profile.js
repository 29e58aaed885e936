import { call } from "../api.js";
import { byId, onSubmit, say } from "../page.js";

const PLANS = { free: "Free", starter: "Starter", pro: "Pro", studio: "Studio", enterprise: "Enterprise" };

/** The name of a plan as people read it. */
export function planName(tier) {
  return PLANS[tier] || tier;
}

export function showProfile(me, plan) {
  byId("me-email").textContent = me.email;
  const credits = plan.limits.credits_month.toLocaleString();
  byId("me-plan").textContent = `${planName(plan.tier)} (${credits} credits a month)`;
  const form = byId("profile-form");
  form.elements.display_name.value = me.display_name;
  onSubmit(form, byId("profile-say"), async ({ display_name }) => {
    const changed = await call("PATCH", "/api/v1/users/me", { display_name });
    form.elements.display_name.value = changed.display_name;
    say(byId("profile-say"), "Saved.", "good");
  });
}

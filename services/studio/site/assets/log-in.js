import { open } from "./api.js";
import { byId, onSubmit, returnTo, say } from "./page.js";
import { offerProviders } from "./providers.js";

// What the callback of a sign-in provider says in `?error=`: slugs of docs/problems.
const WHY = {
  "provider-email-unverified":
    "The provider has not verified your e-mail address. Verify it there, or sign up with a password.",
  "provider-not-offered": "This way to sign in is not offered here.",
  "provider-unavailable": "The sign-in provider does not answer. Try again in a moment.",
  "sign-in-cancelled": "You turned back at the provider. Nothing has changed.",
  "sign-in-expired": "This sign-in took too long, or began in another browser. Try again.",
  "sign-in-refused": "What the provider answered could not be trusted. Try again.",
  "rate-limited": "Too many tries. Wait a while.",
};

const error = new URLSearchParams(location.search).get("error");
if (error) {
  say(byId("say"), Object.hasOwn(WHY, error) ? WHY[error] : "The sign-in did not work. Try again.");
}

onSubmit(byId("form"), byId("say"), async ({ email, password }) => {
  await open("/api/v1/auth/login", { email, password });
  location.assign(returnTo());
});

offerProviders(byId("providers"), returnTo());

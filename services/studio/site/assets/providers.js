/** The sign-in providers of this deployment, as links that leave for them. */

import { ask } from "./api.js";
import { make } from "./page.js";

/** Fill the box with a link for each provider but those in `known`; without any it is hidden. */
export async function offerProviders(
  box, returnTo, { verb = "Sign in with", divider = true, known = [] } = {},
) {
  let offered = [];
  try {
    const { items } = await ask("GET", "/api/v1/auth/oauth");
    offered = items.filter(({ provider }) => !known.includes(provider));
  } catch {
    offered = []; // the form works without them
  }
  box.replaceChildren();
  box.hidden = true;
  if (offered.length === 0) {
    return;
  }
  const links = offered.map(({ provider, label }) => {
    const address = `/api/v1/auth/oauth/${provider}/start?return_to=${encodeURIComponent(returnTo)}`;
    return make("a", { class: "button second block", href: address, "data-provider": provider }, `${verb} ${label}`);
  });
  if (divider) {
    box.append(make("p", { class: "or" }, "or"));
  }
  box.append(make("div", { class: "stack" }, ...links));
  box.hidden = false;
}

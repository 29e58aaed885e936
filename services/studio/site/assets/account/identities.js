import { call } from "../api.js";
import { byId, make, moment, onClick } from "../page.js";
import { offerProviders } from "../providers.js";

const NAMES = { google: "Google", discord: "Discord" };

function row(identity) {
  const name = NAMES[identity.provider] || identity.provider;
  const more = `${identity.email}, last used ${moment(identity.last_used_at)}`;
  const text = make("div", {}, make("strong", {}, name), make("br"),
    make("span", { class: "quiet small" }, more));
  const button = make("button", { type: "button", class: "second little", "aria-label": `Unlink ${name}` },
    "Unlink");
  onClick(button, byId("identities-say"), async () => {
    await call("DELETE", `/api/v1/users/me/identities/${identity.id}`);
    await showIdentities();
  });
  return make("li", { "data-provider": identity.provider }, text, button);
}

/** The linked logins, and a way to link the others. */
export async function showIdentities() {
  const { items } = await call("GET", "/api/v1/users/me/identities");
  const none = make("li", { class: "quiet" }, "None yet.");
  byId("identities").replaceChildren(...(items.length ? items.map(row) : [none]));
  const known = items.map(({ provider }) => provider);
  await offerProviders(byId("providers"), "/account", { divider: false, known });
}

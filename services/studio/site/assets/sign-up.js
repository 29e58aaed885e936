import { ask } from "./api.js";
import { byId, onSubmit } from "./page.js";
import { offerProviders } from "./providers.js";

onSubmit(byId("form"), byId("say"), async ({ display_name, email, password }) => {
  await ask("POST", "/api/v1/auth/register", { display_name, email, password });
  byId("address").textContent = email;
  byId("form").closest("section").hidden = true;
  byId("done").hidden = false;
  byId("done").focus();
});

offerProviders(byId("providers"), "/account", { verb: "Sign up with" });

import { ask } from "./api.js";
import { byId, onSubmit } from "./page.js";

onSubmit(byId("form"), byId("say"), async ({ email }) => {
  await ask("POST", "/api/v1/auth/password/forgot", { email });
  byId("address").textContent = email;
  byId("form").closest("section").hidden = true;
  byId("done").hidden = false;
  byId("done").focus();
});

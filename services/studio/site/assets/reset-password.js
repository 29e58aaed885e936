import { ask, forget } from "./api.js";
import { byId, onSubmit, say, takeToken } from "./page.js";

const token = takeToken();
if (token === "") {
  say(byId("say"), "This address lacks its token: follow the link of the e-mail, all of it.");
}

onSubmit(byId("form"), byId("say"), async ({ password }) => {
  await ask("POST", "/api/v1/auth/password/reset", { token, password });
  forget();
  location.assign("/log-in");
});

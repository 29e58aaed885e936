import { open } from "./api.js";
import { byId, onSubmit, say, takeToken } from "./page.js";

const token = takeToken();
if (token === "") {
  say(byId("say"), "This address lacks its token: follow the link of the e-mail, all of it.");
}

onSubmit(byId("form"), byId("say"), async ({ password }) => {
  await open("/api/v1/auth/email/verify", { token, password });
  location.assign("/account");
});

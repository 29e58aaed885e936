import { call, forget, logOut, resume } from "./api.js";
import { showDeletion } from "./account/deletion.js";
import { showExport } from "./account/export.js";
import { showIdentities } from "./account/identities.js";
import { showKeys } from "./account/keys.js";
import { showProfile } from "./account/profile.js";
import { showSessions } from "./account/sessions.js";
import { byId, onClick, say } from "./page.js";

function leave() {
  forget();
  location.replace(`/log-in?return_to=${encodeURIComponent(location.pathname)}`);
}

async function show() {
  const [me, plan] = await Promise.all([
    call("GET", "/api/v1/users/me"),
    call("GET", "/api/v1/users/me/entitlements"),
  ]);
  showProfile(me, plan);
  showDeletion(me);
  showExport().catch((problem) => say(byId("export-say"), problem.message));
  byId("loading").hidden = true;
  byId("account").hidden = false;
  await Promise.all([showKeys(plan), showSessions(), showIdentities()]);
  byId("account").dataset.ready = "true";
  document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

onClick(byId("log-out"), byId("say"), async () => {
  await logOut();
  location.assign("/");
});

try {
  await resume();
  await show();
} catch (problem) {
  if (problem.status === 401) {
    leave();
  } else {
    byId("loading").hidden = true;
    say(byId("say"), problem.message);
  }
}

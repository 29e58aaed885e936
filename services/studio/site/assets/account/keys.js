import { ask, call, list } from "../api.js";
import { byId, make, moment, onClick, onSubmit } from "../page.js";
import { planName } from "./profile.js";

const SCOPES = {
  "generations:write": "Make pictures",
  "generations:read": "Follow requests",
  "images:read": "See pictures",
  "images:write": "Change pictures",
  "models:read": "See models",
  "models:write": "Change models",
  "billing:read": "See credits",
  "account:read": "See the account",
};
const CHOSEN = ["generations:write", "generations:read", "images:read", "account:read"];
const MILLI = 1000;
const DAY = 24 * 3600 * 1000;

function describe(key) {
  const parts = [`${key.prefix}...`, key.scopes.join(", ")];
  parts.push(key.expires_at ? `ends ${moment(key.expires_at)}` : "never ends");
  for (const cap of key.spend_caps) {
    const period = cap.period === "total" ? "in total" : `a ${cap.period}`;
    parts.push(`at most ${(cap.millicredits / MILLI).toLocaleString()} credits ${period}`);
  }
  parts.push(key.last_used_at ? `last used ${moment(key.last_used_at)}` : "not used yet");
  return parts.join(" · ");
}

function row(key) {
  const text = make("div", {}, make("strong", {}, key.name), make("br"),
    make("span", { class: "quiet small" }, describe(key)));
  const button = make("button", { type: "button", class: "danger little", "aria-label": `End the key ${key.name}` },
    "End");
  onClick(button, byId("keys-say"), async () => {
    await call("DELETE", `/api/v1/api-keys/${key.id}`);
    await showRows();
  });
  return make("li", {}, text, button);
}

async function showRows() {
  const keys = (await list("/api/v1/api-keys")).filter((key) => key.ended_at === null);
  byId("keys").replaceChildren(...keys.map(row));
}

function showNew(made) {
  byId("key-value").textContent = made.key;
  byId("key-curl").textContent =
    `curl ${location.origin}/api/v1/users/me -H 'Authorization: Bearer ${made.key}'`;
  if (!made.scopes.includes("account:read")) {
    const path = made.scopes.includes("images:read") ? "images" : "models";
    byId("key-curl").textContent = byId("key-curl").textContent.replace("users/me", path);
  }
  byId("new-key").hidden = false;
  byId("new-key").focus();
}

function forgetNew() {
  byId("new-key").hidden = true;
  byId("key-value").textContent = byId("key-curl").textContent = "";
}

async function copy(button, source) {
  await navigator.clipboard.writeText(byId(source).textContent);
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 2000);
}

function wanted(form) {
  const days = form.elements.expires.value;
  const period = form.elements.cap_period.value;
  return {
    name: form.elements.name.value,
    scopes: [...form.querySelectorAll("#scopes input:checked")].map((box) => box.value),
    expires_at: days ? new Date(Date.now() + Number(days) * DAY).toISOString() : null,
    spend_cap: period
      ? { period, millicredits: Math.round(Number(form.elements.cap_credits.value) * MILLI) }
      : null,
  };
}

function offerScopes() {
  byId("scopes").append(...Object.entries(SCOPES).map(([scope, label]) => {
    const box = make("input", { type: "checkbox", value: scope, id: `scope-${scope}` });
    box.checked = CHOSEN.includes(scope);
    return make("label", { class: "check" }, box, label);
  }));
}

/** The cheapest plan with keys, by the catalogue. */
async function planWithKeys() {
  const plans = await ask("GET", "/api/v1/plans");
  return plans.plans.find((tier) => tier.api_keys).name;
}

/** The plan does not include keys: say which does. */
function showClosed(tier) {
  byId("key-form").hidden = true;
  byId("keys-closed").textContent = `API keys come with the plan ${planName(tier)}. `;
  byId("keys-closed").append(make("a", { href: "/api/v1/plans" }, "See the plans"));
  byId("keys-closed").hidden = false;
}

export async function showKeys(plan) {
  const form = byId("key-form");
  offerScopes();
  form.elements.cap_period.addEventListener("change", () => {
    byId("cap-field").hidden = form.elements.cap_period.value === "";
  });
  onSubmit(form, byId("keys-say"), async () => {
    forgetNew();
    if (wanted(form).scopes.length === 0) {
      throw new Error("Choose at least one thing that the key may do.");
    }
    try {
      showNew(await call("POST", "/api/v1/api-keys", wanted(form)));
    } catch (problem) {
      if (problem.slug !== "tier-required") {
        throw problem;
      }
      showClosed(problem.document.required_tier);
      return;
    }
    form.elements.name.value = "";
    await showRows();
  });
  byId("copy-key").addEventListener("click", () => copy(byId("copy-key"), "key-value"));
  byId("copy-curl").addEventListener("click", () => copy(byId("copy-curl"), "key-curl"));
  byId("key-done").addEventListener("click", forgetNew);
  if (plan.limits.api_keys) {
    form.hidden = false;
  } else {
    showClosed(await planWithKeys());
  }
  await showRows();
}

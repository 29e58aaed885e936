import { call, forget, open } from "../api.js";
import { byId, onSubmit } from "../page.js";
import { offerProviders } from "../providers.js";

/** Deleting asks for a login of the last minutes: by the password, or at a provider. */
export function showDeletion(me) {
  const form = byId("delete-form");
  byId("delete-password-field").hidden = !me.has_password;
  form.elements.delete_password.required = me.has_password;
  onSubmit(form, byId("delete-say"), async ({ confirm, delete_password }) => {
    if (confirm.trim().toLowerCase() !== me.email) {
      throw new Error(`This is not the address of the account: ${me.email}`);
    }
    if (me.has_password) {
      await open("/api/v1/auth/login", { email: me.email, password: delete_password });
    }
    try {
      await call("DELETE", "/api/v1/users/me", { confirm });
    } catch (problem) {
      const box = byId("delete-providers");
      if (problem.slug === "recent-login-required" && box.hidden) {
        await offerProviders(box, "/account#delete", { verb: "Sign in again with", divider: false });
      }
      throw problem;
    }
    forget();
    location.assign("/");
  });
}

/** Small things that every page does with its elements. Text is only ever set as text. */

export const byId = (id) => document.getElementById(id);

/** A new element: `make("a", {href: "/"}, "Start")`. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    element.setAttribute(attribute, value);
  }
  element.append(...children);
  return element;
}

/** Show or hide a message: `say(box, "Saved.", "good")`, `say(box)`. */
export function say(box, text = "", kind = "bad") {
  box.textContent = text;
  box.className = `say ${kind}`;
  box.hidden = text === "";
}

function markField(input, message) {
  const id = `${input.id}-error`;
  byId(id)?.remove();
  input.removeAttribute("aria-invalid");
  const described = (input.getAttribute("aria-describedby") || "").split(" ");
  const others = described.filter((other) => other !== id && other !== "");
  if (message) {
    input.setAttribute("aria-invalid", "true");
    input.after(make("p", { class: "error", id }, message));
    others.push(id);
  }
  if (others.length) {
    input.setAttribute("aria-describedby", others.join(" "));
  } else {
    input.removeAttribute("aria-describedby");
  }
}

/** Mark the fields that are not valid, and go to the first; true if there is none. */
function checkFields(form) {
  const inputs = [...form.elements].filter((input) => input.willValidate && input.tagName === "INPUT");
  for (const input of inputs) {
    markField(input, input.checkValidity() ? "" : input.validationMessage);
  }
  inputs.find((input) => !input.checkValidity())?.focus();
  return inputs.every((input) => input.checkValidity());
}

function showProblem(form, box, problem) {
  const left = [];
  for (const { field, message } of problem.errors || []) {
    const input = form.elements[field.split(".").pop()];
    if (input instanceof HTMLInputElement) {
      markField(input, message);
    } else {
      left.push(`${field}: ${message}`);
    }
  }
  const marked = form.querySelector("[aria-invalid=true]");
  say(box, left.join("; ") || (marked ? "" : problem.message));
  marked?.focus();
}

/** Send a form by `send(values)`: fields are checked, the button waits, refusals are shown. */
export function onSubmit(form, box, send) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    say(box);
    if (!checkFields(form)) {
      return;
    }
    const button = form.querySelector("button:not([type=button])");
    button.disabled = true;
    try {
      await send(Object.fromEntries(new FormData(form)));
    } catch (problem) {
      showProblem(form, box, problem);
    } finally {
      button.disabled = false;
    }
  });
}

/** Run what a button asks for; refusals are shown in the box. */
export function onClick(button, box, run) {
  button.addEventListener("click", async () => {
    say(box);
    button.disabled = true;
    try {
      await run();
    } catch (problem) {
      say(box, problem.message);
    } finally {
      button.disabled = false;
    }
  });
}

/** A path of this site from the query, never another site: `/account` without one. */
export function returnTo() {
  const wanted = new URLSearchParams(location.search).get("return_to") || "";
  return /^\/(?![/\\])[!-[\]-~]*$/.test(wanted) ? wanted : "/account";
}

/** The token behind the `#` of a link, taken out of the address bar; "" without one. */
export function takeToken() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token") || "";
  history.replaceState(null, "", location.pathname);
  return token;
}

/** `12 November 2026, 14:03`, in the reader's language and time. */
export function moment(text) {
  return new Date(text).toLocaleString(undefined, { dateStyle: "long", timeStyle: "short" });
}

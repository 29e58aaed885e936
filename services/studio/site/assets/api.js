/** The API as the pages use it. The access token lives in this module alone and ends with the page;
 * the refresh token is a cookie that no script can read. */

const BROWSER = { "X-Easel-Browser": "1" };
const HINT = "easel.member"; // that somebody logged in here: no secret, spares guests a request
let accessToken = null;

/** A refusal of the API (RFC 9457). `errors` name bad fields, `slug` the kind. */
export class Problem extends Error {
  constructor(status, document) {
    super(document.detail || document.title || "Something went wrong; try again.");
    this.status = status;
    this.slug = (document.type || "").split("/").pop();
    this.document = document;
    this.errors = document.errors || [];
  }
}

async function send(method, path, body, headers) {
  const options = { method, headers: { ...headers }, credentials: "same-origin", cache: "no-store" };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Problem(0, { detail: "Easel cannot be reached. Are you online?" });
  }
  const isJson = (answer.headers.get("Content-Type") || "").includes("json");
  const text = await answer.text();
  const document = isJson && text ? JSON.parse(text) : {};
  if (!answer.ok) {
    throw new Problem(answer.status, document);
  }
  return document;
}

/** A call without an account. */
export function ask(method, path, body) {
  return send(method, path, body, {});
}

/** A call that opens a login: its refresh token becomes the cookie. */
export async function open(path, body) {
  const tokens = await send("POST", path, body, BROWSER);
  accessToken = tokens.access_token;
  localStorage.setItem(HINT, "1");
  return tokens;
}

/** Whether somebody has logged in here before. */
export function mayBeMember() {
  return localStorage.getItem(HINT) !== null;
}

/** Forget the login of this page. */
export function forget() {
  accessToken = null;
  localStorage.removeItem(HINT);
}

/** Exchange the cookie for an access token. Tabs take turns: a refresh token works once. */
export async function resume() {
  const used = accessToken;
  const exchange = async () => {
    if (accessToken === used) {
      await open("/api/v1/auth/refresh");
    }
  };
  try {
    await (navigator.locks ? navigator.locks.request("easel.refresh", exchange) : exchange());
  } catch (problem) {
    if (problem.status === 401) {
      forget();
    }
    throw problem;
  }
}

/** A call by who is logged in; an access token that has expired is renewed once. */
export async function call(method, path, body) {
  if (accessToken === null) {
    await resume();
  }
  const bearer = () => ({ Authorization: `Bearer ${accessToken}` });
  try {
    return await send(method, path, body, bearer());
  } catch (problem) {
    if (problem.status !== 401) {
      throw problem;
    }
  }
  await resume();
  return send(method, path, body, bearer());
}

/** End the login, here and on the server. */
export async function logOut() {
  await send("POST", "/api/v1/auth/logout", undefined, BROWSER);
  forget();
}

/** Every item of a list, page by page. */
export async function list(path) {
  const items = [];
  let cursor = "";
  do {
    const page = await call("GET", cursor ? `${path}?cursor=${encodeURIComponent(cursor)}` : path);
    items.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor);
  return items;
}

import { call, list } from "../api.js";
import { byId, make, moment, onClick } from "../page.js";

/** `Firefox on Linux`, from what the browser says of itself; the whole of it where that is unclear. */
function deviceName(agent) {
  if (!agent) {
    return "A program that does not say its name";
  }
  const browser = [["Edg/", "Edge"], ["OPR/", "Opera"], ["Firefox/", "Firefox"], ["Chrome/", "Chrome"],
    ["Safari/", "Safari"]].find(([mark]) => agent.includes(mark));
  const system = [["Android", "Android"], ["iPhone", "iPhone"], ["iPad", "iPad"], ["Windows", "Windows"],
    ["Mac OS X", "macOS"], ["CrOS", "ChromeOS"], ["Linux", "Linux"]].find(([mark]) => agent.includes(mark));
  return browser && system ? `${browser[1]} on ${system[1]}` : agent;
}

function row(session) {
  const name = make("strong", {}, deviceName(session.user_agent));
  const more = `Since ${moment(session.created_at)}${session.network ? `, from ${session.network}` : ""}`;
  const text = make("div", {}, name, make("br"), make("span", { class: "quiet small" }, more));
  const item = make("li", {}, text);
  if (session.current) {
    item.append(make("span", { class: "tag" }, "this one"));
    return item;
  }
  const label = `End the login of ${deviceName(session.user_agent)} since ${moment(session.created_at)}`;
  const button = make("button", { type: "button", class: "second little", "aria-label": label }, "End");
  onClick(button, byId("sessions-say"), async () => {
    await call("DELETE", `/api/v1/sessions/${session.id}`);
    await showSessions();
  });
  item.append(button);
  return item;
}

export async function showSessions() {
  const sessions = await list("/api/v1/sessions");
  byId("sessions").replaceChildren(...sessions.map(row));
}

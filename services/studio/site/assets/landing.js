import { mayBeMember } from "./api.js";

for (const box of document.querySelectorAll("[data-for]")) {
  box.hidden = (box.dataset.for === "members") !== mayBeMember();
}

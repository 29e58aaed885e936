import { call } from "../api.js";
import { byId, moment, onClick, say } from "../page.js";

const MEBIBYTE = 2 ** 20;
const WAIT_MILLISECONDS = 2000;

function show(archive) {
  const box = byId("export-say");
  byId("archive").hidden = archive.url === null;
  if (archive.url) {
    byId("archive").href = archive.url;
    const size = (archive.size_bytes / MEBIBYTE).toFixed(1);
    say(box, `Your archive is ready: ${size} MiB, kept until ${moment(archive.expires_at)}.`, "good");
  } else if (archive.state === "failed") {
    say(box, "The archive could not be made. Try again.");
  } else {
    say(box, "Your archive is being made; this may take some minutes.", "good");
  }
}

async function follow(archive) {
  show(archive);
  while (archive.state === "requested" || archive.state === "making") {
    await new Promise((wake) => setTimeout(wake, WAIT_MILLISECONDS));
    archive = await call("GET", "/api/v1/users/me/export");
    show(archive);
  }
}

/** Show the archive that there is, if there is one, and let another be made. */
export async function showExport() {
  onClick(byId("export"), byId("export-say"), async () => {
    await follow(await call("POST", "/api/v1/users/me/export"));
  });
  try {
    await follow(await call("GET", "/api/v1/users/me/export"));
  } catch (problem) {
    if (problem.status !== 404) {
      throw problem;
    }
  }
}

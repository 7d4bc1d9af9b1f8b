// Which page this is, by its address.

import { Page, showList } from "./console.js";
import { LivePage } from "./live.js";
import { listenAlways, note } from "./page.js";

const setPage = listenAlways();
const found = location.pathname.match(/^\/runs\/([^/]+)\/([^/]+)$/);

async function begin(page) {
  setPage(page);
  await page.begin();
}

try {
  if (found) await begin(new Page(`${decodeURIComponent(found[1])}/${decodeURIComponent(found[2])}`));
  else if (location.pathname === "/live") await begin(new LivePage());
  else await showList();
} catch (error) {
  note(error.message);
}

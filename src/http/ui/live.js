// Fresh without being asked: a cheap word of the server changes when visible data may have changed; what is shown is then
// asked again. Where the word leaves out tables that a person sees in part, the clock asks for him.

import { events, get } from "./api.js";

const LOOK_MS = 3_000;
const CLOCK_MS = 4_000;
const WAIT_MAX_MS = 30_000;

const banner = () => document.getElementById("banner");
let known = null;
let wait = LOOK_MS;
let isAway = false;
let timer = 0;

/** Calls back when what is shown may have changed. */
export function follow(changed) {
  const look = async () => {
    clearTimeout(timer);
    try {
      if (document.visibilityState === "visible" || isAway) {
        const { version, is_whole: isWhole } = await get("/api/version");
        if (known !== null && (known !== version || !isWhole)) changed();
        known = version;
        wait = isWhole ? LOOK_MS : CLOCK_MS;
      }
    } catch (error) {
      if (error.status === 401) return;
    }
    timer = setTimeout(look, wait);
  };
  events.addEventListener("unreachable", () => {
    wait = isAway ? Math.min(wait * 2, WAIT_MAX_MS) : 1_000;
    if (!isAway) {
      clearTimeout(timer);
      timer = setTimeout(look, wait);
    }
    isAway = true;
    banner().className = "shown";
    banner().textContent = `The server does not answer. What you see is from before; trying again every ${Math.ceil(wait / 1000)} s.`;
  });
  events.addEventListener("reached", () => {
    wait = LOOK_MS;
    if (!isAway) return;
    isAway = false;
    banner().className = "";
    banner().textContent = "";
    changed();
  });
  look();
  return look;
}

// What a link names and is not there, or not for the person signed in: both look the same.

import { h } from "../dom.js";
import { editor } from "./edit.js";

export async function show(place, world, name) {
  // An administrator hears what is wrong with a file, and may mend it here.
  const told = world.problems.find((one) => one.name === name);
  place.replaceChildren(
    h("h1", {}, "Not found"),
    h("p", { class: "lead" }, `There is no view called “${name}” here, or nothing in it that you may see.`),
    ...(told ? [h("p", { class: "problem", role: "alert" }, told.problem), h("div")] : []),
  );
  if (told) {
    const made = await editor(name, () => place.lastElementChild.replaceChildren()).catch((error) => h("p", { class: "problem", role: "alert" }, error.message));
    place.lastElementChild.replaceChildren(made);
  }
  return { update: () => {}, refresh: () => {} };
}

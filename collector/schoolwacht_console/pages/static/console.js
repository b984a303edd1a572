// Keeps the lists fresh: every five seconds the page's own address is read again and the marked regions are replaced.
// Without this script everything works; one reloads by hand. Nothing here reads or writes text of the network.
"use strict";

(() => {
  const EVERY_MS = 5000;
  const pause = document.getElementById("pause");
  if (pause === null) return;
  let paused = false;
  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Resume updates" : "Pause updates";
  });

  const busy = (region) => region.contains(document.activeElement) || region.contains(getSelection()?.anchorNode ?? null)
    && !getSelection().isCollapsed;

  const replace = (fresh) => {
    for (const region of document.querySelectorAll("[data-refresh]")) {
      const next = fresh.querySelector(`[data-refresh="${region.dataset.refresh}"]`);
      // A region that holds the focus or a selection stays as it is: nobody loses their place.
      if (next !== null && !busy(region)) region.replaceWith(document.adoptNode(next));
    }
  };

  const refresh = () => {
    if (paused || document.hidden) return void setTimeout(refresh, EVERY_MS);
    const request = new XMLHttpRequest();
    request.responseType = "document"; // parsed without running scripts, and allowed under trusted types
    request.open("GET", location.href);
    request.addEventListener("load", () => {
      if (request.status === 200 && request.response !== null && !paused) replace(request.response);
    });
    request.addEventListener("loadend", () => setTimeout(refresh, EVERY_MS));
    request.send();
  };
  setTimeout(refresh, EVERY_MS);
})();

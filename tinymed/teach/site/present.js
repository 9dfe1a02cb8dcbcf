// ?present in the address of a page: large type, no margins, one section at a time; ← → or space to move, Esc to leave.
(function () {
  "use strict";
  if (!new URLSearchParams(location.search).has("present")) return;
  const root = document.documentElement;
  root.classList.add("present"); // before anything is drawn

  function start() {
    const whole = document.querySelector("article [role=main] > section, article section, section");
    if (!whole) return;
    const slides = [null, ...whole.querySelectorAll(":scope > section")]; // null: what stands before the first section
    const place = document.createElement("output");
    place.className = "present-place";
    document.body.append(place);
    let k = 0;

    function show(next) {
      k = Math.max(0, Math.min(next, slides.length - 1));
      root.classList.toggle("present-first", k === 0);
      slides.forEach((slide, n) => slide && slide.classList.toggle("present-now", n === k));
      place.textContent = k + 1 + " / " + slides.length;
      history.replaceState(null, "", location.search + (slides[k] ? "#" + slides[k].id : ""));
      scrollTo(0, 0);
    }

    function shown(hash) { // the section that holds the place that the address names
      const target = hash && document.getElementById(decodeURIComponent(hash.slice(1)));
      return target ? Math.max(0, slides.findIndex((slide) => slide && slide.contains(target))) : 0;
    }

    addEventListener("keydown", (event) => {
      const free = !document.activeElement || document.activeElement === document.body; // else a player has the keys
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      if (event.key === "Escape") { // Sphinx wants it, too, for its search
        if (!free) return document.activeElement.blur();
        return location.replace(location.pathname + location.hash);
      }
      if (!free || event.defaultPrevented) return;
      const by = { ArrowRight: 1, ArrowLeft: -1, " ": event.shiftKey ? -1 : 1, Home: -slides.length, End: slides.length };
      if (!(event.key in by)) return;
      event.preventDefault();
      show(k + by[event.key]);
    });
    addEventListener("hashchange", () => show(shown(location.hash)));
    show(shown(location.hash));
    for (const link of document.querySelectorAll("a[href$='.html'], a[href*='.html#']")) {
      const to = new URL(link.href); // a lecture goes on from page to page
      if (to.protocol === location.protocol && to.host === location.host && !to.search) {
        to.search = "?present";
        link.href = to.href;
      }
    }
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();

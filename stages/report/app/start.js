// What happens when the page is there: the figures in it stand by themselves, everything else comes when it is near or idle.

// What is wider than the window is scrolled by keys too, where nothing in it takes the focus.
function scrollable() {
  document.querySelectorAll(".scroll").forEach((box) => {
    if (box.scrollWidth > box.clientWidth && !box.querySelector("a")) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  });
}

// Many links that are one tab stop: arrows go from one to the next. Called again when the links are new.
function rove(box) {
  const links = () => [...box.querySelectorAll("a")];
  const reach = (at) => links().forEach((link, i) => { link.tabIndex = i === at ? 0 : -1; });
  reach(0);
  box.onkeydown = (event) => {
    const at = links().indexOf(event.target);
    const next = links()[at + ({ ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1 }[event.key] || NaN)];
    if (at < 0 || !next) return;
    event.preventDefault();
    reach(links().indexOf(next));
    next.focus();
  };
}

async function start() {
  const box = document.getElementById("details");
  box.addEventListener("click", (event) => { if (event.target === box) box.close(); });
  box.addEventListener("close", () => {
    if (box.open) return; // it was opened again before this was told
    if (shown && shown.stop) shown.stop();
    shown = null;
    box.replaceChildren();
    history.replaceState(null, "", location.pathname + location.search);
  });
  document.querySelectorAll(".unfold").forEach((node) => node.addEventListener("click", () => {
    node.parentElement.classList.add("open");
    node.remove();
  }));
  const near = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
    near.unobserve(entry.target);
    fillGroup(entry.target);
  }), { rootMargin: "600px" });
  document.querySelectorAll("[data-file]").forEach((sheet) => near.observe(sheet));
  downloads();
  document.querySelectorAll(".scroll table:has(a), .chips").forEach(rove);
  scrollable();
  addEventListener("resize", scrollable);
  if (!CSG.summary.people.count) return;
  Votes.start();
  await new Promise((resolve) => { requestAnimationFrame(() => setTimeout(resolve)); }); // after the first paint
  await Argue.start();
  Gallery.start();
  await Gallery.refresh();
  document.addEventListener("click", (event) => {
    const anchor = event.target.closest("a[data-reason]");
    if (anchor) Gallery.ask({ who: "dropped", reason: anchor.dataset.reason });
  });
  const wanted = /^#person=(.+)$/.exec(location.hash);
  const [index] = wanted ? about(decodeURIComponent(wanted[1])).found : [];
  if (index !== undefined) openPerson(Gallery.list.indexOf(index));
  document.documentElement.dataset.ready = "";
}

addEventListener("DOMContentLoaded", start);

function start() {
  const box = document.getElementById("details");
  box.addEventListener("click", (event) => { if (event.target === box) box.close(); });
  box.addEventListener("close", () => {
    clearInterval(timer);
    box.replaceChildren();
    history.replaceState(null, "", location.pathname + location.search);
  });
  document.querySelectorAll(".unfold").forEach((button) => button.addEventListener("click", () => {
    button.parentElement.classList.add("open");
    button.remove();
  }));
  if (document.querySelector("[data-pages]")) showPage(0);
  const near = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
    near.unobserve(entry.target);
    fillGroup(entry.target);
  }), { rootMargin: "600px" });
  document.querySelectorAll("[data-file]").forEach((sheet) => near.observe(sheet));
  const place = /^#(kept|dropped-[\w-]*)\/(\d+)$/.exec(location.hash);
  if (place) {
    const index = Number(place[2]);
    (place[1] === "kept" ? keptRecord(index) : CSG.load(place[1])).then(() =>
      openDetails({ kept: place[1] === "kept", file: place[1], index }));
  }
}

addEventListener("DOMContentLoaded", start);

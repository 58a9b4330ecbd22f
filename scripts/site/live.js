// Pictures of the demo become the demo itself, where it serves this site at /guide/ (see demo/app.py). On any other host
// they stay pictures.
const isBesideTheDemo = async () => {
  if (!location.pathname.startsWith("/guide/")) return false;
  try {
    const answer = await fetch("/clock");
    return answer.ok && typeof (await answer.json()) === "number";
  } catch {
    return false;
  }
};

const show = (figure) => {
  const frame = document.createElement("iframe");
  frame.src = `/?only=${figure.dataset.section}`;
  frame.title = figure.querySelector("img").alt;
  frame.loading = "lazy";
  const caption = document.createElement("figcaption");
  caption.textContent = "The demo, live from this server.";
  figure.replaceChildren(frame, caption);
};

const figures = document.querySelectorAll("figure.live");
if (figures.length) {
  isBesideTheDemo().then((isLive) => {
    if (isLive) figures.forEach(show);
  });
}

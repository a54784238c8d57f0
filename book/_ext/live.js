// Draws the page's figures from the specifications beside them. The numbers above a figure are read out
// to those who listen; a figure that is too wide for its place stacks its panels.
for (const place of document.querySelectorAll(".live-figure")) {
  const spec = JSON.parse(place.querySelector("script").textContent);
  const box = place.appendChild(document.createElement("div"));
  const spoken = place.appendChild(document.createElement("p"));
  spoken.className = "live-readout";
  spoken.setAttribute("role", "status");
  const draw = async () => {
    const { view } = await vegaEmbed(box, structuredClone(spec), { renderer: "svg", actions: false });
    if (spec.columns > 1 && box.querySelector("svg").getBoundingClientRect().width > place.clientWidth) {
      spec.columns = 1;
      view.finalize();
      return draw();
    }
    const say = (lines) => { spoken.textContent = lines.join(" "); };
    say(view.signal("readout"));
    view.addSignalListener("readout", (_, lines) => say(lines));
    place.view = view;
    place.dataset.ready = "yes";
  };
  draw();
}

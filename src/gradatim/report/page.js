"use strict";
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const places = [...document.querySelectorAll("[data-plot]")];
  const buttons = [...document.querySelectorAll("button[data-arm]")];
  const views = new Map();
  let isolated = null;

  // Vega keeps values as keys of plain objects, which have keys of their own (`constructor`): such
  // a name gets a sign of no width in front.
  const asKey = (name) => (typeof name === "string" && name in {} ? `\u2060${name}` : name);

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function colours(name) {
    const found = [];
    while (colour(`--${name}-${found.length}`)) found.push(colour(`--${name}-${found.length}`));
    return found;
  }

  function config() {
    const [ink, muted, rule, strip] = ["--ink", "--muted", "--rule", "--strip"].map(colour);
    const font = getComputedStyle(document.body).fontFamily;
    return {
      background: "transparent",
      font,
      padding: { left: 0, right: 8, top: 10, bottom: 2 },
      view: { stroke: null },
      range: { category: colours("arm"), ordinal: colours("slice") },
      area: { color: strip },
      text: { color: ink, fontSize: 11.5 },
      axis: {
        domain: false, gridColor: rule, tickColor: rule, tickSize: 4,
        labelColor: muted, labelFontSize: 11.5, labelPadding: 5, labelLimit: 120,
        titleColor: muted, titleFontSize: 12, titleFontWeight: "normal", titlePadding: 9,
      },
      axisX: { grid: false, domain: true, domainColor: rule },
      axisY: {
        ticks: false, titleAngle: 0, titleAlign: "left", titleBaseline: "bottom",
        titleX: 0, titleY: -8,
      },
      rule: { color: muted }, tick: { color: ink },
    };
  }

  function show() {
    for (const view of views.values()) view.signal("isolated", asKey(isolated)).runAsync();
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(button.dataset.arm === isolated));
    }
    document.body.classList.toggle("is-isolated", isolated !== null);
  }

  // One plot after the other, so that the first are there at once and the page stays quick.
  async function draw() {
    const theme = dark.matches ? "dark" : "light";
    const options = {
      mode: "vega-lite", renderer: "svg", ast: true, actions: false, defaultStyle: false,
      config: config(), tooltip: { disableDefaultStyle: true },
    };
    for (const place of places) {
      views.get(place)?.finalize();
      const spec = JSON.parse(
        document.getElementById(place.dataset.plot).textContent, (_, value) => asKey(value),
      );
      const { view } = await vegaEmbed(place, spec, options);
      views.set(place, view);
      if (isolated !== null) view.signal("isolated", asKey(isolated)).runAsync();
      await new Promise((resume) => setTimeout(resume));
    }
    document.documentElement.dataset.drawn = theme;
  }

  let drawing = Promise.resolve();
  const redraw = () => { drawing = drawing.then(draw); };
  for (const button of buttons) {
    button.addEventListener("click", () => {
      isolated = button.dataset.arm === isolated ? null : button.dataset.arm;
      show();
    });
  }
  dark.addEventListener("change", redraw);
  redraw();
})();

"use strict";
(() => {
  const page = JSON.parse(document.getElementById("page-data").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const places = [...document.querySelectorAll("[data-plot]")];
  const buttons = [...document.querySelectorAll("button[data-arm]")];
  let views = [];
  let isolated = null;

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function config(theme) {
    const [ink, muted, rule] = ["--ink", "--muted", "--rule"].map(colour);
    const font = getComputedStyle(document.body).fontFamily;
    return {
      background: "transparent",
      font,
      padding: { left: 0, right: 8, top: 10, bottom: 2 },
      view: { stroke: null },
      range: { category: page.arms[theme], ordinal: page.slices[theme] },
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
    for (const { view } of views) view.signal("isolated", isolated).runAsync();
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(button.dataset.arm === isolated));
    }
    document.body.classList.toggle("is-isolated", isolated !== null);
  }

  async function draw() {
    const theme = dark.matches ? "dark" : "light";
    for (const result of views) result.finalize();
    views = await Promise.all(places.map((place) => {
      const spec = JSON.parse(document.getElementById(place.dataset.plot).textContent);
      return vegaEmbed(place, spec, {
        mode: "vega-lite", renderer: "svg", ast: true, actions: false, defaultStyle: false,
        config: config(theme), tooltip: { disableDefaultStyle: true },
      });
    }));
    show();
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

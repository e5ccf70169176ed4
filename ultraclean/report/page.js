"use strict";
{
  const charts = JSON.parse(document.getElementById("data").textContent).charts;
  const whole = new Intl.NumberFormat("en-GB");
  const exact = (digits) => new Intl.NumberFormat("en-GB", { maximumSignificantDigits: digits });

  const span = (chart, i) => {
    const last = chart.edges.length - 2;
    let low = chart.edges[i], high = chart.edges[i + 1];
    let format = exact(chart.digits);
    if (chart.whole) {
      low = Math.ceil(low); high = Math.ceil(high) - 1; format = whole;
    }
    if (i === 0 && chart.open[0]) return `up to ${format.format(high)}`;
    if (i === last && chart.open[1]) return `${format.format(low)} and more`;
    return low === high ? format.format(low) : `${format.format(low)} to ${format.format(high)}`;
  };

  const wire = (svg) => {
    const chart = charts[svg.dataset.chart];
    if (!chart) return;
    const readout = svg.closest("figure").querySelector(".readout");
    const cursor = svg.querySelector(".cursor");
    const last = chart.kept.length - 1;
    let at = -1;
    const show = (i) => {
      at = Math.max(0, Math.min(last, i));
      cursor.setAttribute("x", chart.x[at]);
      cursor.setAttribute("width", chart.x[at + 1] - chart.x[at]);
      const dropped = chart.rule[at] + chart.other[at];
      readout.textContent = `${span(chart, at)}: ${whole.format(chart.kept[at])} kept, ${whole.format(dropped)} dropped`;
    };
    const hide = () => { at = -1; cursor.setAttribute("width", 0); readout.textContent = ""; };
    const point = (event) => {
      const box = svg.getBoundingClientRect();
      const x = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
      let i = chart.x.findIndex((edge) => edge > x) - 1;
      if (i < -1) i = last;
      show(i);
    };
    svg.addEventListener("pointermove", point);
    svg.addEventListener("pointerdown", point);
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      const to = { ArrowRight: at + 1, ArrowLeft: at < 0 ? last : at - 1, Home: 0, End: last }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      show(to);
    });
  };
  document.querySelectorAll("svg[data-chart]").forEach(wire);

  // a printed page has the charts, not the texts
  addEventListener("beforeprint", () => {
    document.querySelectorAll("details.group").forEach((group) => { group.open = true; });
  });
}

"use strict";
// Moves the slider's markers and multiplies rates by the fleet: everything that the page says without it stays true.
(() => {
  const at = (id) => document.getElementById(id);
  const data = JSON.parse(at("numbers").textContent);
  const percent = (rate) => `${Number((100 * rate).toPrecision(3))} %`;
  const amount = (value) => {
    const digits = value > 0 && value < 10 ? 1 : 0;
    return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  };
  const tell = (id, text) => {
    if (at(id)) at(id).textContent = text;
  };

  const fields = ["phones", "screenshots", "share", "seconds"];
  const fleet = () => {
    const [phones, screenshots, share, seconds] = fields.map((id) => Math.max(0, Number(at(id).value) || 0));
    const seen = phones * screenshots;
    const positives = Math.min(share, 100) / 100;
    return { negatives: seen * (1 - positives), positives: seen * positives, hours: seconds / 3600 };
  };
  const day = (fpr, tpr) => {
    const f = fleet();
    const [alarms, found] = [f.negatives * fpr, f.positives * tpr];
    return { alarms, found, hours: (alarms + found) * f.hours };
  };

  const people = () => {
    if (!data.rates) return;
    const days = data.rates.map(([fpr, tpr]) => day(fpr, tpr));
    for (const what of ["alarms", "found", "hours"]) {
      days.forEach((one, column) => tell(`${what}-${column}`, amount(one[what])));
    }
    tell("card-hours", amount(days[0].hours));
    tell("card-hours-span", `${amount(days[1].hours)} to ${amount(days[2].hours)}`);
    const told = fields.map((id) => Number(at(id).value) || 0);
    fields.forEach((id, place) => tell(`told-${id}`, id === "share" ? percent(told[place] / 100) : amount(told[place])));
    tell("card-fleet", `${amount(told[0])} phones × ${amount(told[1])} screenshots`);
  };

  const slider = at("slider");
  const move = () => {
    if (!slider) return;
    const stop = Number(slider.value);
    const [fpr, tpr] = [data.false[stop] / data.negatives, data.true[stop] / data.positives];
    const one = day(fpr, tpr);
    const frozen = stop === data.frozen;
    tell("at-threshold", data.thresholds[stop].toFixed(4));
    tell("at-fpr", percent(fpr));
    tell("at-fpr-count", `${data.false[stop].toLocaleString("en")} of ${data.negatives.toLocaleString("en")}`);
    tell("at-tpr", percent(tpr));
    tell("at-tpr-count", `${data.true[stop].toLocaleString("en")} of ${data.positives.toLocaleString("en")}`);
    tell("at-alarms", amount(100000 * fpr));
    tell("at-hours", amount(one.hours));
    tell("at-state", frozen ? "the model's own, which was tested" : "not tested: for orientation only");
    at("at-state").className = frozen ? "badge" : "badge odd";
    at("back").disabled = frozen || data.frozen === null;
    slider.setAttribute("aria-valuetext", `threshold ${data.thresholds[stop].toFixed(4)}, false alarms ${percent(fpr)}, positives found ${percent(tpr)}`);
    for (const [plot, places] of Object.entries(data.places)) {
      const marker = document.querySelector(`#plot-${plot} .marker`);
      const [x, y] = places[stop];
      for (const [name, value] of Object.entries(marker.localName === "line" ? { x1: x, x2: x, y1: 4, y2: y } : { cx: x, cy: y })) {
        marker.setAttribute(name, value);
      }
    }
  };
  // #t=0.7 goes to the stop next to that threshold.
  const follow = () => {
    const wanted = Number((/^#t=([0-9.eE+-]+)$/.exec(location.hash) || [])[1] ?? NaN);
    if (!slider || Number.isNaN(wanted)) return;
    const far = data.thresholds.map((threshold) => Math.abs(threshold - wanted));
    slider.value = far.indexOf(Math.min(...far));
    move();
  };

  for (const hidden of document.querySelectorAll("[data-script]")) hidden.hidden = false;
  for (const marker of document.querySelectorAll(".marker")) marker.removeAttribute("hidden");
  for (const id of fields) {
    at(id)?.addEventListener("input", () => {
      people();
      move();
    });
  }
  slider?.addEventListener("input", move);
  at("back")?.addEventListener("click", () => {
    slider.value = data.frozen;
    move();
  });
  window.addEventListener("hashchange", follow);
  if (at("phones")) people();
  move();
  follow();
})();

"use strict";
(() => {
  const save = document.getElementById("save");
  const unfold = document.getElementById("unfold");
  save.hidden = unfold.hidden = false;
  save.addEventListener("click", () => {
    const data = JSON.parse(document.getElementById("report-data").textContent);
    const link = document.createElement("a");
    const text = JSON.stringify(data, null, 1) + "\n";
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = "report.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
  unfold.addEventListener("click", () => {
    const all = [...document.querySelectorAll("details:not([data-alone])")];
    const open = all.some((one) => !one.open);
    all.forEach((one) => { one.open = open; });
    unfold.textContent = open ? "Hide all numbers" : "Show all numbers";
  });
  document.querySelectorAll(".slider").forEach((one) => {
    const input = one.querySelector("input");
    const said = one.querySelector("output");
    const stops = [...one.querySelectorAll(".stop")];
    const show = () => {
      stops.forEach((stop, i) => { stop.hidden = i !== Number(input.value); });
      said.textContent = stops[input.value].dataset.value;
      input.setAttribute("aria-valuetext", said.textContent);
    };
    one.querySelector("label").hidden = false;
    one.querySelectorAll(".at").forEach((text) => { text.hidden = true; });
    input.addEventListener("input", show);
    show();
  });
})();

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
    const all = [...document.querySelectorAll("details")];
    const open = all.some((one) => !one.open);
    all.forEach((one) => { one.open = open; });
    unfold.textContent = open ? "Hide all numbers" : "Show all numbers";
  });
})();

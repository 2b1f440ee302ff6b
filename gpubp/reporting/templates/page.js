
"use strict";
(() => {
  document.documentElement.classList.add("scripts");
  const data = JSON.parse(document.getElementById("trials").textContent);
  const tip = document.getElementById("tip");
  const NEAR = 14; // pixels: as far off as a finger may be

  // What stands for a trial: rows of tables, points of charts, lines of the parallel coordinates.
  const marks = new Map();
  for (const element of document.querySelectorAll("[data-t]")) {
    const trial = element.dataset.t;
    if (!marks.has(trial)) marks.set(trial, []);
    marks.get(trial).push(element);
  }

  let lit = null, kept = null;
  const moved = []; // marks that were put on top of the others, and what they came before
  function light(trial) {
    if (trial === lit) return;
    for (const element of marks.get(lit) || []) element.classList.remove("on");
    while (moved.length) {
      const [element, next] = moved.pop();
      element.parentNode.insertBefore(element, next);
    }
    for (const element of marks.get(trial) || []) {
      element.classList.add("on");
      if (!element.ownerSVGElement) continue;
      moved.push([element, element.nextSibling]);
      element.parentNode.append(element);
    }
    lit = trial;
  }

  function tell(trial, x, y) {
    const [name, score, status, ...values] = data.trials[trial];
    const head = document.createElement("b");
    head.textContent = name;
    const lines = [score, status, ...values.map((value, i) => `${data.names[i]} ${value}`)].filter(Boolean);
    tip.replaceChildren(head, ...lines.flatMap((line) => [line, document.createElement("br")]));
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - width - 4))}px`;
    tip.style.top = `${y + height + 24 > innerHeight ? Math.max(4, y - height - 14) : y + 18}px`;
  }

  function release() {
    tip.hidden = true;
    light(kept);
  }

  // The corners of a mark in its picture's own coordinates: one for a point, several for a line.
  const corners = new WeakMap();
  function cornersOf(element) {
    if (!corners.has(element)) {
      const numbers = element.localName === "circle"
        ? [element.getAttribute("cx"), element.getAttribute("cy")]
        : element.getAttribute("d").split("m")[0].match(/-?[\d.]+/g);
      const found = [];
      for (let i = 0; i + 1 < numbers.length; i += 2) found.push([Number(numbers[i]), Number(numbers[i + 1])]);
      corners.set(element, found);
    }
    return corners.get(element);
  }

  function distance(x, y, points) {
    let [px, py] = points[0], least = Math.hypot(x - px, y - py);
    for (const [qx, qy] of points.slice(1)) {
      const dx = qx - px, dy = qy - py, length = dx * dx + dy * dy;
      const along = length ? Math.max(0, Math.min(1, ((x - px) * dx + (y - py) * dy) / length)) : 0;
      least = Math.min(least, Math.hypot(x - px - along * dx, y - py - along * dy));
      [px, py] = [qx, qy];
    }
    return least;
  }

  function nearest(svg, event) {
    const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    let trial = null, least = NEAR / svg.getScreenCTM().a;
    for (const element of svg.querySelectorAll("[data-t]")) {
      const away = distance(place.x, place.y, cornersOf(element));
      if (away < least && data.trials[element.dataset.t]) [trial, least] = [element.dataset.t, away];
    }
    return trial;
  }

  for (const svg of document.querySelectorAll("svg.chart, svg.parallel")) {
    if (!svg.querySelector("[data-t]")) continue;
    const point = (event) => {
      const trial = nearest(svg, event);
      if (trial === null) return release();
      light(trial);
      tell(trial, event.clientX, event.clientY);
    };
    svg.addEventListener("pointermove", point);
    svg.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && release());
    svg.addEventListener("click", (event) => {
      kept = nearest(svg, event);
      point(event);
    });
  }
  addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });

  for (const row of document.querySelectorAll("tr[data-t]")) {
    row.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && light(row.dataset.t));
    row.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && release());
    row.addEventListener("click", () => {
      kept = kept === row.dataset.t ? null : row.dataset.t;
      light(kept);
    });
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    table.querySelectorAll("thead th").forEach((head, column) => {
      if (head.textContent === "folds") return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const keyed = [...body.rows].map((row) => [key(row.cells[column]), row]);
        keyed.sort(([a], [b]) => (down ? -1 : 1) * compare(a, b));
        body.append(...keyed.map(([, row]) => row));
      });
    });
  }

  function key(cell) {
    const text = cell.dataset.v || cell.textContent.replace("−", "-").replaceAll(",", "");
    return text !== "" && Number.isFinite(Number(text)) ? Number(text) : cell.textContent;
  }

  function compare(a, b) {
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return typeof a === "number" ? a - b : a.localeCompare(b);
  }
})();

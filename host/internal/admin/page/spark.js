// Rates, and the lines that show them.

const kept = 60;
const space = "http://www.w3.org/2000/svg";

/** Rates makes rates of counters that are read again and again. */
export class Rates {
  #series = new Map();

  /** note adds a reading, taken at a time in milliseconds. A counter that has gone back begins anew. */
  note(name, value, at) {
    const s = this.#series.get(name);
    if (!s || value < s.value) {
      this.#series.set(name, { value, at, rates: s?.rates ?? [] });
      return;
    }
    const passed = (at - s.at) / 1000;
    if (passed < 0.5) return;
    s.rates.push((value - s.value) / passed);
    if (s.rates.length > kept) s.rates.shift();
    s.value = value;
    s.at = at;
  }

  /** of returns a counter's rates a second, the newest last. */
  of(name) {
    return this.#series.get(name)?.rates ?? [];
  }

  /** now is the mean of the last few, or null. */
  now(name) {
    const last = this.of(name).slice(-5);
    return last.length ? last.reduce((a, b) => a + b) / last.length : null;
  }
}

/** spark makes an empty line. What it shows is also written beside it. */
export function spark() {
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("class", "spark");
  svg.setAttribute("viewBox", `0 0 ${kept - 1} 20`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const base = document.createElementNS(space, "path");
  base.setAttribute("d", `M0 19.5H${kept - 1}`);
  svg.append(document.createElementNS(space, "polyline"), base);
  return svg;
}

/** draw puts rates on a line, the newest at its right end. */
export function draw(svg, rates) {
  const top = Math.max(1, ...rates);
  const left = kept - rates.length;
  const points = rates.map((r, i) => `${left + i},${(19 - (18 * r) / top).toFixed(1)}`).join(" ");
  svg.firstChild.setAttribute("points", points);
}

/** Curves over time as one SVG: a panel a quantity, one below the other, with the same axis of time. */

/** One quantity. */
export interface Panel {
  readonly title: string;
  /** Seconds and value. */
  readonly points: readonly (readonly [number, number])[];
}

const WIDTH = 760;
const HEIGHT = 150;
const LEFT = 70;
const TOP = 34;
const GAP = 40;

/** Panels below each other; the axis of values begins at 0, so that a slope looks as steep as it is. */
export function plotSvg(title: string, panels: readonly Panel[]): string {
  const endS = Math.max(1, ...panels.flatMap(({ points }) => points.map(([atS]) => atS)));
  const total = TOP + panels.length * (HEIGHT + GAP);
  const parts = panels.map((panel, at) => drawPanel(panel, TOP + at * (HEIGHT + GAP), endS));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH + LEFT + 20}" height="${total}" font-family="sans-serif" font-size="12">`,
    '<title>kvorum under overwrites with times to live: disk, log, memory and open files over time</title>',
    `<rect width="100%" height="100%" fill="white"/>`,
    `<text x="${LEFT}" y="18" font-size="15">${title}</text>`,
    ...parts,
    '</svg>\n',
  ].join('\n');
}

function drawPanel({ title, points }: Panel, top: number, endS: number): string {
  const most = Math.max(1, ...points.map(([, value]) => value)) * 1.1;
  const x = (atS: number): string => (LEFT + (atS / endS) * WIDTH).toFixed(1);
  const y = (value: number): string => (top + HEIGHT - (value / most) * HEIGHT).toFixed(1);
  const line = points.map(([atS, value]) => `${x(atS)},${y(value)}`).join(' ');
  const marks = [0, 0.5, 1].map((share) => {
    const value = (most / 1.1) * share;
    return `<text x="${LEFT - 6}" y="${Number(y(value)) + 4}" text-anchor="end" fill="#555">${Math.round(value)}</text>`;
  });
  return [
    `<text x="${LEFT}" y="${top - 4}">${title}</text>`,
    `<rect x="${LEFT}" y="${top}" width="${WIDTH}" height="${HEIGHT}" fill="none" stroke="#ccc"/>`,
    `<polyline points="${line}" fill="none" stroke="#1565c0" stroke-width="1.5"/>`,
    ...marks,
    `<text x="${LEFT + WIDTH}" y="${top + HEIGHT + 14}" text-anchor="end" fill="#555">${endS.toFixed(0)} s</text>`,
  ].join('\n');
}

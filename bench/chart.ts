/** One chart as SVG: lines of several systems over one axis, which may be logarithmic. Pure. */

/** One line. */
export interface Series {
  readonly name: string;
  readonly colour: string;
  readonly points: readonly (readonly [number, number])[];
}

export interface Axis {
  readonly title: string;
  readonly isLogarithmic: boolean;
}

export interface Chart {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
}

const WIDTH = 620;
const HEIGHT = 300;
const LEFT = 80;
const TOP = 44;
const BOTTOM = 52;
const RIGHT = 110;
/** Of a linear axis. */
const STEPS = 5;

interface Scale {
  readonly ticks: readonly number[];
  /** From 0 to 1. */
  at(value: number): number;
}

/** Round numbers that a linear axis is marked with: steps of 1, 2 or 5 times a power of ten, from 0. */
function linearScale(values: readonly number[]): Scale {
  const most = Math.max(...values, Number.MIN_VALUE);
  const rough = most / STEPS;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough)!;
  const count = Math.ceil(most / step);
  return {
    ticks: Array.from({ length: count + 1 }, (_, at) => at * step),
    at: (value) => value / (count * step),
  };
}

/** A power of ten each, or 1, 2 and 5 of each where they are few. */
function logarithmicScale(values: readonly number[]): Scale {
  const positive = values.filter((value) => value > 0);
  const least = Math.floor(Math.log10(Math.min(...positive)));
  const most = Math.max(least + 1, Math.ceil(Math.log10(Math.max(...positive))));
  const factors = most - least <= 2 ? [1, 2, 5] : [1];
  const ticks = Array.from({ length: most - least + 1 }, (_, at) => least + at).flatMap((power) =>
    factors.map((factor) => factor * 10 ** power),
  );
  return {
    ticks: ticks.filter((tick) => tick <= 10 ** most),
    at: (value) => (Math.log10(Math.max(value, 10 ** least)) - least) / (most - least),
  };
}

const scaleOf = ({ isLogarithmic }: Axis, values: readonly number[]): Scale =>
  isLogarithmic ? logarithmicScale(values) : linearScale(values);

/** 1500 as `1,500`, 0.25 as it is, two million as `2M`. */
const shown = (value: number): string =>
  value >= 1e6 ? `${value / 1e6}M` : value >= 1 ? value.toLocaleString('en-US') : String(Number(value.toPrecision(2)));

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

/** The chart, with the names of its lines beside it. */
export function chartSvg({ title, x: xAxis, y: yAxis, series }: Chart): string {
  const points = series.flatMap((each) => each.points);
  const [xs, ys] = [
    scaleOf(
      xAxis,
      points.map(([x]) => x),
    ),
    scaleOf(
      yAxis,
      points.map(([, y]) => y),
    ),
  ];
  const x = (value: number): string => (LEFT + xs.at(value) * WIDTH).toFixed(1);
  const y = (value: number): string => (TOP + HEIGHT - ys.at(value) * HEIGHT).toFixed(1);
  const grid = [
    ...ys.ticks.map(
      (tick) =>
        `<line x1="${LEFT}" x2="${LEFT + WIDTH}" y1="${y(tick)}" y2="${y(tick)}" stroke="#e4e4e4"/>` +
        `<text x="${LEFT - 8}" y="${Number(y(tick)) + 4}" text-anchor="end" fill="#555">${shown(tick)}</text>`,
    ),
    ...xs.ticks.map(
      (tick) =>
        `<line x1="${x(tick)}" x2="${x(tick)}" y1="${TOP}" y2="${TOP + HEIGHT}" stroke="#f0f0f0"/>` +
        `<text x="${x(tick)}" y="${TOP + HEIGHT + 18}" text-anchor="middle" fill="#555">${shown(tick)}</text>`,
    ),
  ];
  const lines = series.map(({ colour, points: own }) => {
    const dots = own.map(([atX, atY]) => `<circle cx="${x(atX)}" cy="${y(atY)}" r="2.5" fill="${colour}"/>`).join('');
    const path = own.map(([atX, atY]) => `${x(atX)},${y(atY)}`).join(' ');
    return `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="1.8"/>${dots}`;
  });
  const names = series.map(
    ({ name, colour }, at) =>
      `<rect x="${LEFT + WIDTH + 14}" y="${TOP + 6 + at * 20}" width="12" height="4" fill="${colour}"/>` +
      `<text x="${LEFT + WIDTH + 32}" y="${TOP + 13 + at * 20}">${escaped(name)}</text>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${LEFT + WIDTH + RIGHT}" height="${TOP + HEIGHT + BOTTOM}" font-family="sans-serif" font-size="12">`,
    `<title>${escaped(title)}</title>`,
    '<rect width="100%" height="100%" fill="white"/>',
    `<text x="${LEFT}" y="22" font-size="15">${escaped(title)}</text>`,
    ...grid,
    `<rect x="${LEFT}" y="${TOP}" width="${WIDTH}" height="${HEIGHT}" fill="none" stroke="#bbb"/>`,
    ...lines,
    ...names,
    `<text x="${LEFT + WIDTH / 2}" y="${TOP + HEIGHT + 40}" text-anchor="middle">${escaped(xAxis.title)}</text>`,
    `<text x="16" y="${TOP + HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 16 ${TOP + HEIGHT / 2})">${escaped(yAxis.title)}</text>`,
    '</svg>\n',
  ].join('\n');
}

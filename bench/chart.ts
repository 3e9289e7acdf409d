/** One chart as SVG: lines of several systems over one axis, which may be logarithmic. Pure. */

/** One point, and between which values its rounds lay. */
export interface Point {
  readonly x: number;
  readonly y: number;
  readonly lowest: number;
  readonly highest: number;
}

/** One line. */
export interface Series {
  readonly name: string;
  readonly colour: string;
  readonly points: readonly Point[];
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
const RIGHT = 130;
/** Of a linear axis. */
const STEPS = 5;
/** Of a logarithmic one. */
const MOST_TICKS = 9;

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

/** 1, 2 and 5 times each power of ten, from the last one below all values to the first one above. */
function roundNumbers(values: readonly number[]): number[] {
  const positive = values.filter((value) => value > 0);
  const [least, most] = [Math.min(...positive), Math.max(...positive)];
  const from = Math.floor(Math.log10(least));
  const all = Array.from({ length: Math.ceil(Math.log10(most)) - from + 1 }, (_, at) => 10 ** (from + at)).flatMap(
    (power) => [1, 2, 5].map((factor) => Number((factor * power).toPrecision(1))),
  );
  const first = all.findLastIndex((value) => value <= least);
  const last = Math.max(
    first + 1,
    all.findIndex((value) => value >= most),
  );
  return all.slice(Math.max(0, first), last + 1);
}

/** Marked at round numbers, or at powers of ten alone where those would be many. */
function logarithmicScale(values: readonly number[]): Scale {
  const numbers = roundNumbers(values);
  const [least, most] = [Math.log10(numbers[0]!), Math.log10(numbers.at(-1)!)];
  const powers = numbers.filter((value) => Number.isInteger(Math.round(Math.log10(value) * 1e6) / 1e6));
  return {
    ticks: numbers.length <= MOST_TICKS ? numbers : powers,
    at: (value) => (Math.log10(Math.max(value, numbers[0]!)) - least) / (most - least),
  };
}

const scaleOf = ({ isLogarithmic }: Axis, values: readonly number[]): Scale =>
  isLogarithmic ? logarithmicScale(values) : linearScale(values);

/** 1500 as `1,500`, 0.25 as it is, two million as `2M`. */
const shown = (value: number): string =>
  value >= 1e6 ? `${value / 1e6}M` : value >= 1 ? value.toLocaleString('en-US') : String(Number(value.toPrecision(2)));

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

/** The chart, with the names of its lines beside it, and at each point a stroke from its smallest to its largest round. */
export function chartSvg({ title, x: xAxis, y: yAxis, series }: Chart): string {
  const points = series.flatMap((each) => each.points);
  const [xs, ys] = [
    scaleOf(
      xAxis,
      points.map((point) => point.x),
    ),
    scaleOf(
      yAxis,
      points.flatMap((point) => [point.lowest, point.y, point.highest]),
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
    const dots = own.map((point) => `<circle cx="${x(point.x)}" cy="${y(point.y)}" r="2.5" fill="${colour}"/>`);
    const rounds = own.map(
      (point) =>
        `<line x1="${x(point.x)}" x2="${x(point.x)}" y1="${y(point.lowest)}" y2="${y(point.highest)}" stroke="${colour}"/>`,
    );
    const path = own.map((point) => `${x(point.x)},${y(point.y)}`).join(' ');
    return `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="1.8"/>${dots.join('')}${rounds.join('')}`;
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

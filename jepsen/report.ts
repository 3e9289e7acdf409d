/**
 * Pictures of a run: latency and throughput over time with the faults shaded, and a timeline of every client. Plain SVG
 * and HTML without outside resources, so that an archive can be opened anywhere, years later.
 */
import type { RunArchive } from './archive.ts';
import { type CheckResult, type Op, type PairedOp, pairOps } from './history.ts';
import type { RunOptions } from './types.ts';

const WIDTH = 1100;
const HEIGHT = 300;
const MARGIN = { left: 64, right: 16, top: 28, bottom: 34 };
const PLOT_WIDTH = WIDTH - MARGIN.left - MARGIN.right;
const PLOT_HEIGHT = HEIGHT - MARGIN.top - MARGIN.bottom;
const COLOURS = { ok: '#2a9d4a', info: '#e08a00', fail: '#d03a3a' } as const;
/** More rows than this make a page that no browser likes. */
const MAX_TIMELINE_OPS = 4000;
const TIMELINE_ROW_PX = 15;
const SHOWN_PROBLEMS = 8;

export interface FaultWindow {
  readonly name: string;
  readonly fromS: number;
  readonly toS: number;
  readonly detail: string;
}

const seconds = (op: Op): number => op.time / 1e9;

const escapeHtml = (text: string): string =>
  text.replace(/[&<>"]/g, (character) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[character]!);

/** The stretches in which something was broken: from a nemesis' start to the end of its healing. */
export function faultWindows(history: readonly Op[]): FaultWindow[] {
  const windows: FaultWindow[] = [];
  const open = new Map<string, { name: string; fromS: number; detail: string }>();
  const endS = history.length === 0 ? 0 : seconds(history.at(-1)!);
  for (const op of history) {
    if (op.process !== 'nemesis') continue;
    const isHeal = op.f.startsWith('heal-');
    const name = isHeal ? op.f.slice('heal-'.length) : op.f;
    const window = open.get(name);
    if (op.type === 'invoke' && !isHeal) open.set(name, { name, fromS: seconds(op), detail: '' });
    else if (window !== undefined && op.type === 'info' && isHeal) {
      windows.push({ ...window, toS: seconds(op) });
      open.delete(name);
    } else if (window !== undefined && op.type === 'info') window.detail = JSON.stringify(op.value);
  }
  for (const window of open.values()) windows.push({ ...window, toS: endS });
  return windows.sort((a, b) => a.fromS - b.fromS);
}

interface Scale {
  readonly x: (timeS: number) => number;
  readonly endS: number;
}

function timeScale(history: readonly Op[]): Scale {
  const endS = Math.max(1, history.length === 0 ? 1 : seconds(history.at(-1)!));
  return { endS, x: (timeS) => MARGIN.left + (timeS / endS) * PLOT_WIDTH };
}

function shading(windows: readonly FaultWindow[], { x }: Scale): string {
  return windows
    .map(({ name, fromS, toS, detail }, at) => {
      const width = Math.max(1, x(toS) - x(fromS)).toFixed(1);
      const label = `<text x="${(x(fromS) + 3).toFixed(1)}" y="${MARGIN.top + 11 + (at % 3) * 11}" class="fault">${escapeHtml(name)}</text>`;
      return `<g><title>${escapeHtml(`${name} ${fromS.toFixed(1)} s to ${toS.toFixed(1)} s ${detail}`)}</title><rect class="fault-window" x="${x(fromS).toFixed(1)}" y="${MARGIN.top}" width="${width}" height="${PLOT_HEIGHT}"/>${label}</g>`;
    })
    .join('');
}

function frame(
  title: string,
  unit: string,
  { endS, x }: Scale,
  ticks: readonly { y: number; label: string }[],
): string {
  const step = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600].find((candidate) => endS / candidate <= 12) ?? 7200;
  const parts = [
    `<text x="${MARGIN.left}" y="16" class="title">${escapeHtml(title)}</text>`,
    `<text x="8" y="16">${escapeHtml(unit)}</text>`,
  ];
  for (let at = 0; at <= endS; at += step) {
    parts.push(
      `<line class="grid" x1="${x(at).toFixed(1)}" x2="${x(at).toFixed(1)}" y1="${MARGIN.top}" y2="${MARGIN.top + PLOT_HEIGHT}"/>`,
    );
    parts.push(`<text x="${x(at).toFixed(1)}" y="${HEIGHT - 14}" text-anchor="middle">${at} s</text>`);
  }
  for (const { y, label } of ticks) {
    parts.push(
      `<line class="grid" x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${y.toFixed(1)}" y2="${y.toFixed(1)}"/>`,
    );
    parts.push(`<text x="${MARGIN.left - 6}" y="${(y + 4).toFixed(1)}" text-anchor="end">${label}</text>`);
  }
  return parts.join('');
}

const STYLE = `text{font:11px sans-serif;fill:#333}.title{font-weight:bold;font-size:13px}.grid{stroke:#ddd}.fault{fill:#8a4b00}.fault-window{fill:#f4c27a;opacity:.35}`;

const svg = (body: string): string =>
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}"><style>${STYLE}</style><rect width="100%" height="100%" fill="#fff"/>${body}</svg>`;

/** Every completed operation as a dot: when it was invoked, how long it took (logarithmic), what became of it. */
export function latencySvg(history: readonly Op[]): string {
  const scale = timeScale(history);
  const leastMs = 0.1;
  const mostMs = 10_000;
  const decades = Math.log10(mostMs / leastMs);
  const y = (ms: number): number => {
    const clamped = Math.min(Math.max(ms, leastMs), mostMs);
    return MARGIN.top + PLOT_HEIGHT * (1 - Math.log10(clamped / leastMs) / decades);
  };
  const ticks = [0.1, 1, 10, 100, 1000, 10_000].map((ms) => ({
    y: y(ms),
    label: ms < 1000 ? `${ms} ms` : `${ms / 1000} s`,
  }));
  const dots = pairOps(history)
    .filter((pair): pair is PairedOp & { completion: Op } => pair.completion !== undefined)
    .map(({ invoke, completion }) => {
      const colour = COLOURS[completion.type as keyof typeof COLOURS];
      return `<circle cx="${scale.x(seconds(invoke)).toFixed(1)}" cy="${y((completion.time - invoke.time) / 1e6).toFixed(1)}" r="1.6" fill="${colour}"/>`;
    });
  const title = 'Latency by outcome: green ok, orange unknown, red failed';
  return svg(shading(faultWindows(history), scale) + frame(title, 'latency', scale, ticks) + dots.join(''));
}

/** Operations completed per second, a line an outcome. */
export function throughputSvg(history: readonly Op[]): string {
  const scale = timeScale(history);
  const buckets = Math.ceil(scale.endS) + 1;
  const counts = {
    ok: new Array<number>(buckets).fill(0),
    info: new Array<number>(buckets).fill(0),
    fail: new Array<number>(buckets).fill(0),
  };
  for (const op of history) {
    if (op.process !== 'nemesis' && op.type !== 'invoke') counts[op.type][Math.floor(seconds(op))]!++;
  }
  const most = Math.max(1, ...counts.ok, ...counts.info, ...counts.fail);
  const y = (count: number): number => MARGIN.top + PLOT_HEIGHT * (1 - count / most);
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => ({
    y: y(share * most),
    label: String(Math.round(share * most)),
  }));
  const lines = (Object.keys(counts) as (keyof typeof counts)[]).map((outcome) => {
    const points = counts[outcome].map(
      (count, at) => `${scale.x(Math.min(at + 0.5, scale.endS)).toFixed(1)},${y(count).toFixed(1)}`,
    );
    return `<polyline fill="none" stroke="${COLOURS[outcome]}" stroke-width="1.5" points="${points.join(' ')}"/>`;
  });
  const title = 'Completed operations per second: green ok, orange unknown, red failed';
  return svg(shading(faultWindows(history), scale) + frame(title, 'ops/s', scale, ticks) + lines.join(''));
}

/** Every operation as a bar, a row a logical client, time downwards. */
export function timelineHtml(history: readonly Op[], runId: string, concurrency: number): string {
  const pairs = pairOps(history);
  const shown = pairs.slice(0, MAX_TIMELINE_OPS);
  const endIndex = (pair: PairedOp): number => pair.completion?.index ?? history.length;
  const bars = shown.map((pair) => {
    const { invoke, completion } = pair;
    const type = completion?.type ?? 'info';
    const column = Number(invoke.process) % concurrency;
    const rows = Math.max(1, Math.min(endIndex(pair), shown.at(-1)!.invoke.index) - invoke.index);
    const text = `${invoke.f} ${JSON.stringify(type === 'ok' ? completion!.value : invoke.value)}`;
    const title = `process ${invoke.process} ${text}\n${invoke.index} to ${completion?.index ?? 'the end'}, ${type}${completion?.error ? `: ${completion.error}` : ''}`;
    return `<div title="${escapeHtml(title)}" style="left:${column * 150}px;top:${invoke.index * TIMELINE_ROW_PX}px;height:${rows * TIMELINE_ROW_PX - 1}px;background:${COLOURS[type as keyof typeof COLOURS]}33;border-left:3px solid ${COLOURS[type as keyof typeof COLOURS]}">${escapeHtml(text)}</div>`;
  });
  const note = pairs.length > shown.length ? `<p>The first ${shown.length} of ${pairs.length} operations.</p>` : '';
  return `<!doctype html><meta charset="utf-8"><title>${escapeHtml(runId)}: timeline</title><style>body{font:12px sans-serif;margin:16px}main{position:relative}main div{position:absolute;width:142px;overflow:hidden;white-space:nowrap;font-size:10px;padding-left:2px;box-sizing:border-box}</style><h1>${escapeHtml(runId)}</h1>${note}<main>${bars.join('')}</main>`;
}

function latencyRow(pairs: readonly PairedOp[], f: string): string {
  const mine = pairs.filter(({ invoke }) => invoke.f === f);
  const count = (type: string): number => mine.filter(({ completion }) => (completion?.type ?? 'info') === type).length;
  const latencies = mine
    .filter(({ completion }) => completion?.type === 'ok')
    .map(({ invoke, completion }) => (completion!.time - invoke.time) / 1e6)
    .sort((a, b) => a - b);
  const quantile = (share: number): string =>
    latencies.length === 0
      ? '-'
      : `${latencies[Math.min(latencies.length - 1, Math.floor(share * latencies.length))]!.toFixed(1)} ms`;
  const cells = [f, count('ok'), count('info'), count('fail'), quantile(0.5), quantile(0.99), quantile(1)];
  return `<tr>${cells.map((cell) => `<td>${escapeHtml(String(cell))}</td>`).join('')}</tr>`;
}

/** The first problems, and the others folded away so that they do not hide the plots. */
function problemsHtml(problems: readonly string[]): string {
  if (problems.length === 0) return '';
  const list = (some: readonly string[]): string =>
    `<ul>${some.map((problem) => `<li>${escapeHtml(problem)}</li>`).join('')}</ul>`;
  const rest = problems.slice(SHOWN_PROBLEMS);
  const folded = rest.length === 0 ? '' : `<details><summary>${rest.length} more</summary>${list(rest)}</details>`;
  return `<h2>Problems</h2>${list(problems.slice(0, SHOWN_PROBLEMS))}${folded}`;
}

/** The page that a person opens first: verdict, plots, faults, figures. */
export function reportHtml(options: RunOptions, runId: string, history: readonly Op[], result: CheckResult): string {
  const pairs = pairOps(history);
  const functions = [...new Set(pairs.map(({ invoke }) => invoke.f))].sort();
  const verdict = result.valid === true ? 'valid' : result.valid === false ? 'INVALID' : 'unknown';
  const faults = faultWindows(history)
    .map(
      ({ name, fromS, toS, detail }) =>
        `<tr><td>${fromS.toFixed(1)} s</td><td>${toS.toFixed(1)} s</td><td>${escapeHtml(name)}</td><td>${escapeHtml(detail)}</td></tr>`,
    )
    .join('');
  return `<!doctype html><meta charset="utf-8"><title>${escapeHtml(runId)}: ${verdict}</title>
<style>body{font:14px sans-serif;margin:24px;max-width:1140px}li{overflow-wrap:anywhere}td,th{padding:2px 12px 2px 0;text-align:left;vertical-align:top}.${verdict}{font-weight:bold}.valid{color:#2a9d4a}.INVALID{color:#d03a3a}.unknown{color:#e08a00}</style>
<h1>${escapeHtml(runId)}: <span class="${verdict}">${verdict}</span></h1>
<p>${escapeHtml(options.workload)} on ${options.nodes} nodes, ${options.concurrency} clients, ${options.rate} operations per second for ${options.seconds} s, faults: ${escapeHtml(options.nemeses.join(', ') || 'none')}, seed ${options.seed}${options.mutant === undefined ? '' : `, mutant ${escapeHtml(options.mutant)}`}.</p>
${problemsHtml(result.problems)}
${latencySvg(history)}
${throughputSvg(history)}
<h2>Operations</h2><table><tr><th>operation</th><th>ok</th><th>unknown</th><th>failed</th><th>p50</th><th>p99</th><th>worst</th></tr>${functions.map((f) => latencyRow(pairs, f)).join('')}</table>
<h2>Faults</h2><table><tr><th>from</th><th>to</th><th>fault</th><th>what</th></tr>${faults}</table>
<h2>Checker</h2><pre>${escapeHtml(JSON.stringify(result.facts, undefined, 2))}</pre>
<p><a href="timeline.html">timeline of every client</a></p>`;
}

/** Writes all pictures into the archive. */
export function writeReport(
  archive: RunArchive,
  options: RunOptions,
  history: readonly Op[],
  result: CheckResult,
): void {
  archive.write('latency.svg', latencySvg(history));
  archive.write('throughput.svg', throughputSvg(history));
  archive.write('timeline.html', timelineHtml(history, archive.runId, options.concurrency));
  archive.write('report.html', reportHtml(options, archive.runId, history, result));
}

/** A live look at runs in the terminal: rates, latencies, faults in force and how far the run is. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EventSource } from './event-source.ts';
import type { Op } from './history.ts';

const WINDOW_S = 5;
const REFRESH_MS = 500;
const BAR_WIDTH = 30;

/** What is shown of one run. */
export class RunProgress {
  readonly runId: string;
  private readonly plannedS: number;
  private lastTimeS = 0;
  private readonly faults = new Set<string>();
  private readonly open = new Map<number, Op>();
  private recent: { atS: number; latencyMs: number; type: string }[] = [];
  private readonly totals = { ok: 0, info: 0, fail: 0 };

  constructor(runId: string, plannedS: number) {
    this.runId = runId;
    this.plannedS = plannedS;
  }

  add(op: Op): void {
    this.lastTimeS = op.time / 1e9;
    if (op.process === 'nemesis') {
      if (op.type === 'invoke' && !op.f.startsWith('heal-')) this.faults.add(op.f);
      else if (op.type === 'info' && op.f.startsWith('heal-')) this.faults.delete(op.f.slice('heal-'.length));
      return;
    }
    if (op.type === 'invoke') {
      this.open.set(op.process, op);
      return;
    }
    const invoke = this.open.get(op.process);
    this.open.delete(op.process);
    this.totals[op.type]++;
    if (invoke !== undefined)
      this.recent.push({ atS: this.lastTimeS, latencyMs: (op.time - invoke.time) / 1e6, type: op.type });
    while (this.recent.length > 0 && this.recent[0]!.atS < this.lastTimeS - WINDOW_S) this.recent.shift();
  }

  /** A few lines, without colours. */
  render(): string {
    const share = Math.min(1, this.lastTimeS / this.plannedS);
    const filled = Math.round(share * BAR_WIDTH);
    const latencies = this.recent
      .filter(({ type }) => type === 'ok')
      .map(({ latencyMs }) => latencyMs)
      .sort((a, b) => a - b);
    const quantile = (q: number): string =>
      latencies.length === 0
        ? '-'
        : `${latencies[Math.min(latencies.length - 1, Math.floor(q * latencies.length))]!.toFixed(1)} ms`;
    const windowS = Math.max(1, Math.min(WINDOW_S, this.lastTimeS));
    const bar = `${'#'.repeat(filled)}${'.'.repeat(BAR_WIDTH - filled)}`;
    return [
      `${this.runId}`,
      `  [${bar}] ${this.lastTimeS.toFixed(0)} of ${this.plannedS} s   fault: ${[...this.faults].join(' + ') || 'none'}`,
      `  ${(this.recent.length / windowS).toFixed(0)} ops/s   p50 ${quantile(0.5)}   p99 ${quantile(0.99)}   ok ${this.totals.ok}   unknown ${this.totals.info}   failed ${this.totals.fail}   open ${this.open.size}`,
    ].join('\n');
  }
}

function plannedSeconds(parent: string, runId: string): number {
  const path = join(parent, runId, 'test.json');
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as { seconds: number }).seconds : 60;
}

/**
 * Shows the events of a source until it ends. On a terminal the view is drawn in place, elsewhere its last state is printed.
 * @param parent folder that holds the runs' folders
 */
export async function watchRuns(
  source: EventSource,
  parent: string,
  out: NodeJS.WriteStream,
  signal?: AbortSignal,
): Promise<void> {
  const runs = new Map<string, RunProgress>();
  let drawnLines = 0;
  const draw = (): void => {
    const text = [...runs.values()].map((run) => run.render()).join('\n');
    if (text === '') return;
    if (out.isTTY && drawnLines > 0) out.write(`\x1b[${drawnLines}A\x1b[0J`);
    out.write(`${text}\n`);
    drawnLines = text.split('\n').length;
  };
  const timer = out.isTTY ? setInterval(draw, REFRESH_MS) : undefined;
  for await (const { runId, op } of source.events(signal)) {
    let run = runs.get(runId);
    if (run === undefined) {
      run = new RunProgress(runId, plannedSeconds(parent, runId));
      runs.set(runId, run);
    }
    run.add(op);
  }
  clearInterval(timer);
  draw();
}

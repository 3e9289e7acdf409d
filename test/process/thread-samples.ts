/** How long the main threads of some processes ran, and waited for a core, from one look to the next: what a wait on a busy machine is made of. */
import { readFileSync } from 'node:fs';

const LOOK_MS = 20;
const NS_PER_MS = 1e6;

/** Of one main thread since it began. */
interface Sample {
  readonly atMs: number;
  readonly ranMs: number;
  readonly waitedMs: number;
}

/** What a thread did between two moments. */
export interface ThreadShare {
  readonly name: string;
  readonly ranMs: number;
  /** It was able to run, and other threads had the cores. */
  readonly waitedMs: number;
}

/** See the top of the file. Where the kernel does not count, nothing is known. */
export class ThreadSamples {
  private readonly pids: () => ReadonlyMap<string, number>;
  /** By name and process: a name has a new process after a restart. */
  private readonly samples = new Map<string, { readonly name: string; readonly taken: Sample[] }>();
  private readonly timer: NodeJS.Timeout;

  /** @param pids of the processes that are looked at, by names for readers */
  constructor(pids: () => ReadonlyMap<string, number>) {
    this.pids = pids;
    this.timer = setInterval(() => this.look(), LOOK_MS);
  }

  end(): void {
    clearInterval(this.timer);
  }

  /** What each thread did from a moment to another, to the next looks around them; on the clock of `performance`. */
  between(fromMs: number, toMs: number): ThreadShare[] {
    const shares: ThreadShare[] = [];
    for (const { name, taken } of this.samples.values()) {
      const first = taken.findLast(({ atMs }) => atMs <= fromMs) ?? taken[0];
      const last = taken.find(({ atMs }) => atMs >= toMs) ?? taken.at(-1);
      if (first === undefined || last === undefined || last.atMs <= fromMs || first.atMs >= toMs) continue;
      shares.push({ name, ranMs: last.ranMs - first.ranMs, waitedMs: last.waitedMs - first.waitedMs });
    }
    return shares;
  }

  private look(): void {
    for (const [name, pid] of this.pids()) {
      let fields: number[];
      try {
        fields = readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'latin1').split(' ').map(Number);
      } catch {
        // It has ended, or the kernel does not count.
        continue;
      }
      const key = `${name} ${pid}`;
      const known = this.samples.get(key) ?? { name, taken: [] };
      this.samples.set(key, known);
      known.taken.push({
        atMs: performance.now(),
        ranMs: fields[0]! / NS_PER_MS,
        waitedMs: fields[1]! / NS_PER_MS,
      });
    }
  }
}

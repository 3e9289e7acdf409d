/**
 * Where a thread has been, from samples of its stack: V8's profiler looks every few milliseconds, and is asked only when something took long.
 * It costs a few hundredths of the thread, and a look at all functions whenever it starts, so it is for tests and for finding out.
 */
import { type Profiler, Session } from 'node:inspector';
import type { Cancel, Millis, Scheduler, StackSampler } from '../platform/index.ts';

const INTERVAL_MICROS = 2_000;
const MICROS_PER_MS = 1_000;
/** Samples are thrown away so often: they are kept in memory until then. */
const KEPT_MS: Millis = 120_000;
/** Innermost functions of the way that most samples have in common. */
const MOST_FRAMES = 5;
/** Functions that are told with their share. */
const MOST_FUNCTIONS = 3;
/** A way goes on as long as this share of all samples takes it. */
const COMMON_SHARE = 0.5;
/** A thread that waits does nothing. */
const IDLE = '(idle)';

type ProfileNode = Profiler.ProfileNode;

const shortPath = (url: string): string => url.replace(/^.*\/(?=(?:src|cmd|test|jepsen|bench|node_modules)\/)/, '');

function nameOf({ callFrame }: ProfileNode): string {
  const { functionName, url, lineNumber } = callFrame;
  const name = functionName === '' ? '(anonymous)' : functionName;
  return url === '' ? name : `${name} ${shortPath(url)}:${lineNumber + 1}`;
}

/** The samples of a profile's last milliseconds: how many there are at each node. */
function samplesAtEnd({ samples = [], timeDeltas = [], startTime, endTime }: Profiler.Profile, lastMs: Millis) {
  const from = endTime - lastMs * MICROS_PER_MS;
  const counts = new Map<number, number>();
  let at = startTime;
  for (const [index, id] of samples.entries()) {
    at += timeDeltas[index] ?? 0;
    if (at >= from) counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  return counts;
}

/**
 * What a profile says of its last milliseconds: the innermost functions that most samples have in common, and those in which the most samples ended.
 * @returns undefined when there are no samples
 */
export function placeIn(profile: Profiler.Profile, lastMs: Millis): string | undefined {
  const byId = new Map(profile.nodes.map((node) => [node.id, node]));
  const parents = new Map(profile.nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id])));
  const below = new Map<number, number>();
  const own = new Map<string, number>();
  let total = 0;
  for (const [id, count] of samplesAtEnd(profile, lastMs)) {
    const name = nameOf(byId.get(id)!);
    if (name === IDLE) continue;
    total += count;
    own.set(name, (own.get(name) ?? 0) + count);
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at))
      below.set(at, (below.get(at) ?? 0) + count);
  }
  if (total === 0) return undefined;
  const way: string[] = [];
  let [node]: (ProfileNode | undefined)[] = profile.nodes;
  while (node !== undefined) {
    const counted = (node.children ?? []).map((id) => ({ id, count: below.get(id) ?? 0 }));
    const next = counted.toSorted((left, right) => right.count - left.count)[0];
    if (next === undefined || next.count < total * COMMON_SHARE) break;
    node = byId.get(next.id);
    if (node !== undefined) way.unshift(nameOf(node));
  }
  const most = [...own].sort(([, left], [, right]) => right - left).slice(0, MOST_FUNCTIONS);
  const shares = most.map(([name, count]) => `${name} ${Math.round((count / total) * 100)} %`);
  return `${way.slice(0, MOST_FRAMES).join(' < ')}; most in ${shares.join(', ')}`;
}

/** Samples the thread that makes it, from then on. */
export class InspectorSampler implements StackSampler {
  private readonly session = new Session();
  private readonly scheduler: Pick<Scheduler, 'after'>;
  private cancel: Cancel | undefined;

  constructor(scheduler: Pick<Scheduler, 'after'>) {
    this.scheduler = scheduler;
    this.session.connect();
    this.session.post('Profiler.enable');
    this.session.post('Profiler.setSamplingInterval', { interval: INTERVAL_MICROS });
    this.begin();
  }

  where(lastMs: Millis, done: (place: string | undefined) => void): void {
    this.session.post('Profiler.stop', (error, result) => {
      done(error === null ? placeIn(result.profile, lastMs) : undefined);
    });
    this.begin();
  }

  stop(): void {
    this.cancel?.();
    this.session.disconnect();
  }

  private begin(): void {
    this.session.post('Profiler.start');
    this.cancel?.();
    this.cancel = this.scheduler.after(KEPT_MS, () => {
      this.session.post('Profiler.stop');
      this.begin();
    });
  }
}

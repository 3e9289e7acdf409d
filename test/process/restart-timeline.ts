/**
 * What went on while somebody waited: the step of the restart, the node that had the connection, what the nodes wrote into their logs meanwhile, how
 * long the main threads ran and waited for a core, and by how much the observer itself was late.
 */
import type { Place } from './balancer.ts';
import { ThreadSamples } from './thread-samples.ts';

/** More are not told one by one. */
const MAX_TOLD = 20;
/** The observer's own timer, and by how much it must be late to be noted. */
const LOOK_MS = 10;
const LATE_MS = 20;
/** What nodes wrote so long before a wait may be its reason. */
const BEFORE_MS = 50;
/** Lines of logs that are told of one wait. */
const MAX_LINES = 12;

/** What is known of the cluster whose nodes are restarted. */
export interface Watched {
  /** Lines such as `n1 | {"level":30,"time":1700000000000,...}`. */
  readonly log: readonly string[];
  readonly nodeIds: readonly number[];
  redisPort(nodeId: number): number;
  /** Undefined while it is down. */
  pid(nodeId: number): number | undefined;
}

/** One command that took long. */
export interface SlowWait {
  readonly what: string;
  readonly tookMs: number;
  /** Such as `node 2 stops +12 ms .. node 2 is down +40 ms; through node 1; the observer was late by 25 ms`. */
  readonly during: string;
  /** One a line: main threads, and what nodes wrote. */
  readonly details: readonly string[];
}

/** What every line of a node's log has. */
interface LogLine {
  readonly time: number;
  readonly level: number;
  readonly node: number;
  readonly msg: string;
}

interface Slow {
  readonly what: string;
  readonly fromMs: number;
  readonly toMs: number;
  readonly through: string;
}

interface Step {
  readonly name: string;
  readonly fromMs: number;
}

/** See the top of the file. */
export class RestartTimeline {
  private readonly steps: Step[] = [];
  private readonly late: { readonly atMs: number; readonly lateMs: number }[] = [];
  private readonly waitsMs: number[] = [];
  private readonly slow: Slow[] = [];
  private readonly slowMs: number;
  private readonly timer: NodeJS.Timeout;
  private readonly watched: Watched;
  private readonly threads: ThreadSamples;

  /** @param slowMs waits from here on are told one by one */
  constructor(slowMs: number, watched: Watched) {
    this.slowMs = slowMs;
    this.watched = watched;
    this.threads = new ThreadSamples(() => {
      const pids = new Map([['clients', process.pid]]);
      for (const nodeId of watched.nodeIds) {
        const pid = watched.pid(nodeId);
        if (pid !== undefined) pids.set(`node ${nodeId}`, pid);
      }
      return pids;
    });
    let dueMs = performance.now() + LOOK_MS;
    this.timer = setInterval(() => {
      const nowMs = performance.now();
      if (nowMs - dueMs > LATE_MS) this.late.push({ atMs: nowMs, lateMs: nowMs - dueMs });
      dueMs = nowMs + LOOK_MS;
    }, LOOK_MS);
  }

  /** From now on this goes on. */
  begins(name: string): void {
    this.steps.push({ name, fromMs: performance.now() });
  }

  /** @param place where its connection went in the end */
  waited(what: string, fromMs: number, toMs: number, place: Place | undefined): void {
    this.waitsMs.push(toMs - fromMs);
    if (toMs - fromMs >= this.slowMs) this.slow.push({ what, fromMs, toMs, through: this.through(place, fromMs) });
  }

  private through(place: Place | undefined, fromMs: number): string {
    if (place === undefined) return '';
    const nodeId = this.watched.nodeIds.find((id) => this.watched.redisPort(id) === place.port);
    const refused = place.refusals === 0 ? '' : `, refused ${place.refusals} times before`;
    const after = (atMs: number): string => `+${Math.round(atMs - fromMs)} ms`;
    const isNew = place.acceptedMs >= fromMs;
    const taken = place.connectedMs === undefined ? 'never' : after(place.connectedMs);
    return `; through node ${nodeId}${isNew ? ` (connected ${after(place.acceptedMs)}, taken ${taken}${refused})` : ''}`;
  }

  /** What was seen so far does not count. */
  forget(): void {
    this.waitsMs.length = 0;
    this.slow.length = 0;
  }

  end(): void {
    clearInterval(this.timer);
    this.threads.end();
  }

  /** @returns the wait that so many of a hundred commands were within, milliseconds */
  percentileMs(percent: number): number {
    const sorted = this.waitsMs.toSorted((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))] ?? 0;
  }

  get slowCount(): number {
    return this.slow.length;
  }

  /** The longest ones first. */
  slowest(): SlowWait[] {
    const sorted = this.slow.toSorted((a, b) => b.toMs - b.fromMs - (a.toMs - a.fromMs));
    return sorted.slice(0, MAX_TOLD).map(({ what, fromMs, toMs, through }) => {
      const late = this.late.filter(({ atMs, lateMs }) => atMs > fromMs && atMs - lateMs < toMs);
      const sumMs = Math.round(late.reduce((sum, { lateMs }) => sum + lateMs, 0));
      const observer = sumMs === 0 ? '' : `; the observer was late by ${sumMs} ms`;
      const during = `${this.at(fromMs)} .. ${this.at(toMs)}${through}${observer}`;
      return { what, tookMs: toMs - fromMs, during, details: this.details(fromMs, toMs) };
    });
  }

  private details(fromMs: number, toMs: number): string[] {
    const threads = this.threads
      .between(fromMs, toMs)
      .map(({ name, ranMs, waitedMs }) => `${name} ran ${Math.round(ranMs)} and waited ${Math.round(waitedMs)}`);
    const lines = this.watched.log.flatMap((line) => {
      const [, node, json] = /^(n\d+) \| (\{.*\})$/.exec(line) ?? [];
      if (json === undefined) return [];
      const { time, level: _, node: __, msg, ...facts } = JSON.parse(json) as LogLine;
      const atMs = time - performance.timeOrigin;
      if (atMs < fromMs - BEFORE_MS || atMs > toMs) return [];
      return [`${Math.round(atMs - fromMs)} ms ${node}: ${msg} ${JSON.stringify(facts)}`];
    });
    return [...(threads.length === 0 ? [] : [`main threads, ms: ${threads.join('; ')}`]), ...lines.slice(0, MAX_LINES)];
  }

  private at(ms: number): string {
    const step = this.steps.findLast(({ fromMs }) => fromMs <= ms);
    return step === undefined ? 'before' : `${step.name} +${Math.round(ms - step.fromMs)} ms`;
  }
}

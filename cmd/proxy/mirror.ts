/**
 * Tells the second side what has happened, in the order in which the first one has answered, over one connection. It never holds up a client: what
 * finds no room is dropped and counted, and its keys are remembered as those that may differ.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type CommandLine, Lane, type ReplyValue, ServerError, type Upstream } from '../redis/index.ts';
import { differ } from './comparison.ts';
import type { Effect } from './effects.ts';
import type { KeyPlace } from './key-place.ts';
import type { Report } from './report.ts';

export interface MirrorLimits {
  /** Commands that the second side has not answered. */
  readonly maxCommands: number;
  /** Bytes of commands that were not sent. */
  readonly maxBytes: number;
}

export const DEFAULT_MIRROR_LIMITS: MirrorLimits = { maxCommands: 20_000, maxBytes: 64 * 1024 ** 2 };
const WINDOW = 256;
const RECONNECT_MS = 500;

/** Something that the second side is told. */
export interface Told {
  readonly database: number;
  /** One, or all of a transaction. */
  readonly effects: readonly Effect[];
  /** Undefined: nobody knows which keys. */
  readonly places: readonly KeyPlace[] | undefined;
  readonly kind: 'write' | 'read';
}

/** What waits, with its size; or somebody who wants to know when all before was answered. */
type Waiting = { readonly told: Told; readonly bytes: number } | { readonly passed: () => void };

export class Mirror {
  private readonly lane: Lane;
  private readonly report: Report;
  private readonly limits: MirrorLimits;
  private readonly queue: Waiting[] = [];
  private queuedBytes = 0;
  /** Answers that are to come, in the order of the queue. */
  private readonly outstanding = new Set<Promise<void>>();
  /** Answers so far, and ends of waiting for one. */
  private answered = 0;
  private isRunning = false;
  private isClosed = false;
  private waiting: (() => void)[] = [];

  constructor(upstream: Upstream, report: Report, limits: MirrorLimits) {
    this.lane = new Lane(upstream, 0);
    this.report = report;
    this.limits = limits;
  }

  /** Commands that the second side has not answered. */
  get behind(): number {
    return this.queue.length + this.outstanding.size;
  }

  tell(told: Told): void {
    const bytes = sizeOf(told);
    const { maxCommands, maxBytes } = this.limits;
    if (this.isClosed || this.behind >= maxCommands || (this.queuedBytes > 0 && this.queuedBytes + bytes > maxBytes)) {
      this.drop(told);
      return;
    }
    this.queuedBytes += bytes;
    this.add({ told, bytes });
  }

  /**
   * Waits until the second side has answered what it was told so far, or nobody will know.
   * @param patienceMs without any answer
   * @returns false when it answers nothing
   */
  async passed(patienceMs: number): Promise<boolean> {
    let isPassed = false;
    const passed = new Promise<void>((resolve) => this.add({ passed: resolve })).then(() => {
      isPassed = true;
    });
    for (let before = -1; !isPassed && this.answered > before; ) {
      before = this.answered;
      const timeout = new AbortController();
      await Promise.race([passed, delay(patienceMs, undefined, { signal: timeout.signal }).catch(() => undefined)]);
      timeout.abort();
    }
    return isPassed;
  }

  /** Waits until the second side has answered everything. @returns whether that was so in time */
  async drained(withinMs: number): Promise<boolean> {
    const untilMs = performance.now() + withinMs;
    while (this.behind > 0 && performance.now() < untilMs) await delay(5);
    return this.behind === 0;
  }

  /** Whatever was not told, or not answered, is in the report when this has settled. */
  async close(): Promise<void> {
    this.isClosed = true;
    for (const waiting of this.queue.splice(0)) {
      if ('told' in waiting) this.drop(waiting.told);
      else waiting.passed();
    }
    this.lane.close();
    this.wake();
    await Promise.all(this.outstanding);
  }

  private drop({ kind, places }: Told): void {
    if (kind === 'read') return;
    this.report.dropped += 1;
    this.report.markDirty(places);
  }

  private add(waiting: Waiting): void {
    this.queue.push(waiting);
    if (!this.isRunning) void this.run();
  }

  private async run(): Promise<void> {
    this.isRunning = true;
    while (this.queue.length > 0 && !this.isClosed) {
      if (this.outstanding.size >= WINDOW) {
        await new Promise<void>((resolve) => this.waiting.push(resolve));
        continue;
      }
      if (!(await this.isConnected())) continue;
      for (const waiting of this.queue.splice(0, WINDOW)) {
        if ('told' in waiting) {
          this.queuedBytes -= waiting.bytes;
          this.start(waiting.told);
        } else void Promise.all(this.outstanding).then(waiting.passed);
      }
    }
    this.isRunning = false;
  }

  private async isConnected(): Promise<boolean> {
    try {
      await this.lane.connected();
      if (this.isClosed) this.lane.close();
      return !this.isClosed;
    } catch {
      await delay(RECONNECT_MS);
      return false;
    }
  }

  private start(told: Told): void {
    const answered = this.send(told).finally(() => {
      this.outstanding.delete(answered);
      this.answered += 1;
      this.wake();
    });
    this.outstanding.add(answered);
  }

  private async send(told: Told): Promise<void> {
    const { database, effects, kind, places } = told;
    try {
      const replies = await this.lane.send(database, commandsOf(told));
      this.judge(told, effects.length === 1 ? replies : replies.at(-1));
    } catch {
      if (kind === 'read') return;
      this.report.lost += 1;
      this.report.markDirty(places);
      this.report.noteOpen();
    }
  }

  /** @param answer of the transaction, or of the only command */
  private judge({ effects, places, kind }: Told, answer: unknown): void {
    const { report } = this;
    if (kind === 'write') report.mirrored += 1;
    if (!Array.isArray(answer)) {
      const refusal = answer instanceof ServerError ? answer : new ServerError('the transaction was not carried out');
      this.refuse(effects[0]!.command, refusal, places);
      return;
    }
    for (const [at, { command, expected }] of effects.entries()) {
      const reply = (answer as readonly ReplyValue[])[at]!;
      if (kind === 'write' && reply instanceof ServerError && !(expected?.reply instanceof ServerError)) {
        this.refuse(command, reply, places);
        continue;
      }
      const isDifferent = expected === undefined ? undefined : differ(expected.name, expected.reply, reply);
      if (isDifferent === undefined) continue;
      report.compared += 1;
      if (!isDifferent) continue;
      report.note(kind === 'write' ? 'reply' : 'read', command, `${shown(expected!.reply)} and ${shown(reply)}`);
      report.markDirty(places);
    }
  }

  private refuse(command: CommandLine, refusal: ServerError, places: Told['places']): void {
    if (refusal.code === 'UNKNOWN') this.report.noteOpen();
    this.report.note('refused', command, refusal.message);
    this.report.markDirty(places);
  }

  private wake(): void {
    for (const wake of this.waiting.splice(0)) wake();
  }
}

/** Several are a transaction, behind which the connection is in the database in which it was before. */
function commandsOf({ database, effects }: Told): readonly CommandLine[] {
  const commands = effects.map(({ command }) => command);
  if (commands.length === 1) return commands;
  const hasSelected = commands.some(([name]) => String(name).toLowerCase() === 'select');
  return [['MULTI'], ...commands, ...(hasSelected ? [['SELECT', database]] : []), ['EXEC']];
}

function sizeOf({ effects }: Told): number {
  let bytes = 0;
  for (const { command } of effects)
    for (const word of command) bytes += Buffer.isBuffer(word) ? word.length : String(word).length;
  return bytes;
}

function shown(value: ReplyValue): string {
  if (value === null) return 'nil';
  if (Buffer.isBuffer(value)) return JSON.stringify(value.toString('latin1', 0, 60));
  if (Array.isArray(value))
    return `[${(value as readonly ReplyValue[]).slice(0, 5).map(shown).join(', ')}${value.length > 5 ? ', ...' : ''}]`;
  return String(value instanceof Error ? value.message : value);
}

/**
 * Tells the second side what has happened, in the order in which the first one has answered, over one connection. It never holds up a client: what
 * finds no room is dropped and counted, and its keys are remembered as those that may differ.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type CommandLine, Lane, type ReplyValue, ServerError, type Upstream } from '../redis/index.ts';
import { differ } from './comparison.ts';
import type { Report } from './report.ts';

const MAX_COMMANDS = 20_000;
const MAX_BYTES = 64 * 1024 ** 2;
const WINDOW = 256;
const RECONNECT_MS = 500;

/** Something that the second side is told. */
export interface Told {
  readonly database: number;
  /** One command, or a transaction from MULTI to EXEC. */
  readonly commands: readonly CommandLine[];
  readonly keys: readonly Buffer[];
  /** What the first side has answered, to be compared; the name is lower case. */
  readonly expected: { readonly name: string; readonly reply: ReplyValue } | undefined;
  readonly kind: 'write' | 'read';
}

/** What waits, with its size. */
interface Waiting {
  readonly told: Told;
  readonly bytes: number;
}

export class Mirror {
  private readonly lane: Lane;
  private readonly report: Report;
  private readonly queue: Waiting[] = [];
  private queuedBytes = 0;
  private outstanding = 0;
  private isRunning = false;
  private isClosed = false;
  private waiting: (() => void)[] = [];

  constructor(upstream: Upstream, report: Report) {
    this.lane = new Lane(upstream, 0);
    this.report = report;
  }

  /** Commands that the second side has not answered. */
  get behind(): number {
    return this.queue.length + this.outstanding;
  }

  tell(told: Told): void {
    const bytes = sizeOf(told);
    if (this.behind >= MAX_COMMANDS || (this.queuedBytes > 0 && this.queuedBytes + bytes > MAX_BYTES)) {
      if (told.kind === 'read') return;
      this.report.dropped += 1;
      this.report.markDirty(told.database, told.keys);
      return;
    }
    this.queue.push({ told, bytes });
    this.queuedBytes += bytes;
    if (!this.isRunning) void this.run();
  }

  /** Waits until the second side has answered everything. @returns whether that was so in time */
  async drained(withinMs: number): Promise<boolean> {
    const untilMs = performance.now() + withinMs;
    while (this.behind > 0 && performance.now() < untilMs) await delay(5);
    return this.behind === 0;
  }

  close(): void {
    this.isClosed = true;
    this.lane.close();
    this.wake();
  }

  private async run(): Promise<void> {
    this.isRunning = true;
    while (this.queue.length > 0 && !this.isClosed) {
      if (this.outstanding >= WINDOW) {
        await new Promise<void>((resolve) => this.waiting.push(resolve));
        continue;
      }
      if (!(await this.isConnected())) continue;
      for (const { told, bytes } of this.queue.splice(0, WINDOW)) {
        this.queuedBytes -= bytes;
        void this.send(told);
      }
    }
    this.isRunning = false;
  }

  private async isConnected(): Promise<boolean> {
    try {
      await this.lane.connected();
      return true;
    } catch {
      await delay(RECONNECT_MS);
      return false;
    }
  }

  private async send(told: Told): Promise<void> {
    this.outstanding += 1;
    try {
      const replies = await this.lane.send(told.database, told.commands);
      this.judge(told, replies.at(-1) as ReplyValue);
    } catch {
      if (told.kind === 'write') {
        this.report.lost += 1;
        this.report.markDirty(told.database, told.keys);
      }
    } finally {
      this.outstanding -= 1;
      this.wake();
    }
  }

  private judge({ database, commands, keys, expected, kind }: Told, reply: ReplyValue): void {
    const { report } = this;
    const command = commands.at(commands.length > 1 ? 1 : 0) as readonly (Buffer | string)[];
    if (kind === 'write') report.mirrored += 1;
    if (kind === 'write' && reply instanceof ServerError && !(expected?.reply instanceof ServerError)) {
      report.note('refused', command, reply.message);
      report.markDirty(database, keys);
      return;
    }
    if (expected === undefined) return;
    const isDifferent = differ(expected.name, expected.reply, reply);
    if (isDifferent === undefined) return;
    report.compared += 1;
    if (!isDifferent) return;
    report.note(kind === 'write' ? 'reply' : 'read', command, `${shown(expected.reply)} and ${shown(reply)}`);
    report.markDirty(database, keys);
  }

  private wake(): void {
    for (const wake of this.waiting.splice(0)) wake();
  }
}

function sizeOf({ commands }: Told): number {
  let bytes = 0;
  for (const command of commands)
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

/**
 * A value that is too large for one command: its elements go, in the order of the file, behind those that are there, under a name that nobody knows;
 * when all are there it gets its own name. Each command may be sent twice: one that adds to a list or a stream does so only when that is as long as it
 * was to be.
 */
import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { RdbValue } from '../../src/adapter/redis/index.ts';
import { type CommandLine, type Lane, ServerError } from '../redis/index.ts';
import { partCommands } from './value-commands.ts';
import { answersOf, ask, isPassing, SETTLE_MS, untilTaken, type Writer } from './writer.ts';

/** Parts that are sent without waiting for the answers to those before. */
const PARTS_AT_ONCE = 8;
const NAME_BYTES = 8;

/** Elements that were not added yet. */
interface Part {
  /** All of them may be carried out again. */
  readonly commands: readonly CommandLine[];
  /** Elements of the value with these; undefined where nobody has to know. */
  readonly size: number | undefined;
  readonly bytes: number;
}

/** A command before it in the row was not carried out: it is sent again, and this one too. */
class OutOfTurnError extends Error {
  override readonly name = 'OutOfTurnError';
}

export class ValueInParts {
  private readonly writer: Writer;
  private readonly lane: Lane;
  private readonly database: number;
  private readonly key: Buffer;
  private readonly hidden: Buffer;
  private readonly parts: Part[] = [];
  private size = 0;
  private running: Promise<void>;
  private failure: ServerError | undefined;

  /** @param key where the value is to be in the end */
  constructor(writer: Writer, database: number, key: Buffer) {
    this.writer = writer;
    this.lane = writer.laneOf(key);
    this.database = database;
    this.key = key;
    this.hidden = hiddenName(key);
    // Of an import that was ended there may be parts.
    this.running = this.remove();
    this.running.catch((error: unknown) => writer.fail(error));
  }

  /** Takes elements. @returns when there was room @throws the error that ended an earlier command */
  async add(value: RdbValue): Promise<void> {
    const { commands, count, isOrdered, bytes } = partCommands(this.hidden, value, this.size);
    this.size += count;
    await this.writer.reserve(bytes);
    this.parts.push({ commands, size: isOrdered ? this.size : undefined, bytes });
    if (this.parts.length === 1) {
      this.running = this.running.then(() => this.run());
      this.running.catch((error: unknown) => this.writer.fail(error));
    }
  }

  /**
   * All elements were taken: gives the value its name.
   * @param expiresMs unix milliseconds; undefined is never
   * @returns why the cluster does not take it
   * @throws GaveUpError
   */
  async end(expiresMs: number | undefined): Promise<ServerError | undefined> {
    await this.running;
    if (this.failure !== undefined) {
      await this.remove();
      return this.failure;
    }
    if (expiresMs !== undefined) await this.once(['PEXPIREAT', this.hidden, expiresMs]);
    const renamed = await this.once(['RENAME', this.hidden, this.key]);
    // A second try finds nothing to rename when the first one did it.
    return renamed instanceof ServerError && !/no such key/i.test(renamed.message) ? renamed : undefined;
  }

  private async run(): Promise<void> {
    while (this.parts.length > 0) {
      const some = this.parts.slice(0, PARTS_AT_ONCE);
      let taken = 0;
      await untilTaken(this.writer.options.giveUpMs, async () => {
        while (taken < some.length && this.failure === undefined) taken += await this.send(some.slice(taken));
      });
      for (const { bytes } of some) this.writer.release(bytes);
      this.parts.splice(0, some.length);
    }
  }

  /** @returns how many of the parts are there now, from the first on @throws what says that the cluster cannot now */
  private async send(parts: readonly Part[]): Promise<number> {
    const answers = await this.lane.send(
      this.database,
      parts.flatMap(({ commands }) => commands),
    );
    let at = 0;
    for (const [taken, { commands, size }] of parts.entries()) {
      const own = answers.slice(at, at + commands.length);
      at += commands.length;
      const refusal = own.find((answer) => answer instanceof ServerError) as ServerError | undefined;
      const isThere = refusal === undefined && (size === undefined || Number(own[0]) >= size);
      if (isThere) continue;
      if (refusal !== undefined && !isPassing(refusal)) this.failure = refusal;
      // What was taken before counts, and the rest comes again.
      if (taken > 0 || this.failure !== undefined) return taken;
      throw refusal ?? new OutOfTurnError('elements in front are missing');
    }
    return parts.length;
  }

  /** A removal that takes effect late would take parts along: it is waited for until it cannot any more. */
  private async remove(): Promise<void> {
    let isOpen = false;
    await untilTaken(this.writer.options.giveUpMs, async () => {
      if (isOpen) await delay(SETTLE_MS);
      isOpen = true;
      await answersOf(this.lane, this.database, [['UNLINK', this.hidden]]);
    });
  }

  /** Sends a command that may take effect twice. @returns its answer, an error as a value */
  private async once(command: CommandLine): Promise<unknown> {
    const [reply] = await ask(this.lane, this.writer.options.giveUpMs, this.database, [command]);
    return reply;
  }
}

/** The same name whenever the key is imported, in the slot of the key, where its braces allow it. */
function hiddenName(key: Buffer): Buffer {
  const own = createHash('sha256')
    .update(key)
    .digest('hex')
    .slice(0, 2 * NAME_BYTES);
  const suffix = Buffer.from(`:kvorum-import:${own}`);
  const open = key.indexOf('{');
  const close = open < 0 ? -1 : key.indexOf('}', open + 1);
  if (close > open + 1) return Buffer.concat([key.subarray(open, close + 1), suffix]);
  if (key.length === 0 || key.includes('}')) return suffix;
  return Buffer.concat([Buffer.from('{'), key, Buffer.from('}'), suffix]);
}

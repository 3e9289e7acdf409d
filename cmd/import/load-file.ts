/** Brings what a file of Redis has into a cluster: whole values by RESTORE, large ones in parts that nobody sees until they are all there. */
import { setTimeout as delay } from 'node:timers/promises';
import { framePayload, type RdbKey, type RdbRecord } from '../../src/adapter/redis/index.ts';
import { type CommandLine, Lane, ServerError } from '../redis/index.ts';
import { Completions } from './completions.ts';
import { recordsOf } from './records.ts';
import { keyText, type Tally } from './tally.ts';
import { partCommands } from './value-commands.ts';
import { answersOf, ask, SETTLE_MS, untilTaken, type Writer } from './writer.ts';

/** For the bound on what is on its way. */
const MEAN_ELEMENT_BYTES = 100;

/** What happens to keys that the cluster has already. */
export type Existing = 'refuse' | 'replace' | 'keep';

type Part = Extract<RdbRecord, { kind: 'part' }>;
type Whole = Extract<RdbRecord, { kind: 'value' }>;

export interface LoadOptions {
  readonly existing: Existing;
  /** Bytes of the file whose keys are in the cluster already. */
  readonly skipBytes: number;
  readonly nowMs: () => number;
  /** In the names of values that are not yet whole. */
  readonly runId: string;
  /** Told when all keys up to this byte are in the cluster. */
  readonly onPosition: (bytes: number) => void;
}

/** Puts records into a cluster, in any order but for the parts of a value. */
export class FileLoader {
  private readonly writer: Writer;
  private readonly tally: Tally;
  private readonly options: LoadOptions;
  private readonly completions: Completions;
  private readonly lane: Lane;
  private large:
    | { readonly key: Buffer; size: number; isRefused: boolean; failure: ServerError | undefined }
    | undefined;
  private largeValues = 0;

  constructor(writer: Writer, tally: Tally, options: LoadOptions) {
    this.writer = writer;
    this.tally = tally;
    this.options = options;
    this.completions = new Completions(options.onPosition);
    this.lane = new Lane(writer.options, 0);
  }

  /**
   * Reads it all.
   * @throws RdbFormatError for a file that is damaged, GaveUpError when the cluster takes nothing any more
   */
  async load(file: AsyncIterable<Buffer>): Promise<void> {
    for await (const { record, end } of recordsOf(file)) await this.put(record, end);
    await this.writer.settled();
  }

  /** Removes everything that the cluster has. @throws GaveUpError, ServerError */
  async empty(): Promise<void> {
    const reply = await this.once(0, ['FLUSHALL']);
    if (reply instanceof ServerError) throw reply;
  }

  close(): void {
    this.lane.close();
  }

  private async put(record: RdbRecord, position: number): Promise<void> {
    if (position <= this.options.skipBytes) {
      if (record.kind === 'value' || (record.kind === 'part' && record.isLast)) this.tally.before += 1;
      return;
    }
    switch (record.kind) {
      case 'value':
        return this.putWhole(record, position);
      case 'part':
        await this.putPart(record);
        if (record.isLast) this.completions.begin(position)();
        return;
      case 'function':
        return this.putLibrary(record.bytes);
      case 'module':
        this.tally.refuse(keyText(record.database, record.key), 'the value is of a module of Redis');
    }
  }

  private hasExpired({ expiresMs }: RdbKey): boolean {
    return expiresMs !== undefined && expiresMs <= this.options.nowMs();
  }

  private async putWhole(record: Whole, position: number): Promise<void> {
    const { database, key, expiresMs, bytes } = record;
    const { tally } = this;
    const complete = this.completions.begin(position);
    if (this.hasExpired(record)) {
      tally.expired += 1;
      complete();
      return;
    }
    const command: CommandLine = ['RESTORE', key, expiresMs ?? 0, framePayload(bytes), 'ABSTTL'];
    const isReplacing = this.options.existing !== 'keep';
    await this.writer.put(
      database,
      isReplacing ? [...command, 'REPLACE'] : command,
      bytes.length,
      ({ reply, isRepeated }) => {
        complete();
        if (!(reply instanceof ServerError)) tally.written += 1;
        else if (reply.code !== 'BUSYKEY') tally.refuse(keyText(database, key), reply.message);
        else if (isRepeated) tally.written += 1;
        else tally.kept += 1;
      },
    );
  }

  private async putLibrary(bytes: Buffer): Promise<void> {
    const reply = await this.once(0, ['FUNCTION', 'RESTORE', framePayload(bytes), 'REPLACE']);
    if (reply instanceof ServerError) this.tally.refuse('a library of functions', reply.message);
    else this.tally.libraries += 1;
  }

  /** Elements of a value that is put together under another name. */
  private async putPart(record: Part): Promise<void> {
    const { database, key, expiresMs, value, isFirst, isLast } = record;
    if (isFirst) {
      this.large = { key: this.nameFor(key), size: 0, isRefused: false, failure: undefined };
      const isKept = this.options.existing === 'keep' && (await this.once(database, ['EXISTS', key])) === 1;
      if (isKept) this.tally.kept += 1;
      else if (this.hasExpired(record)) this.tally.expired += 1;
      this.large.isRefused = isKept || this.hasExpired(record);
      if (!this.large.isRefused) await this.once(database, ['UNLINK', this.large.key]);
    }
    const { large } = this;
    if (large === undefined || large.isRefused) return;
    const { add, more, size, count } = partCommands(large.key, value);
    if (value.type === 'list') large.failure ??= await this.addOnce(database, add, size, large.size);
    else
      for (const command of [add, ...more]) {
        // Elements that have an order of their own may come in any other.
        await this.writer.put(database, command, MEAN_ELEMENT_BYTES * count, ({ reply }) => {
          if (reply instanceof ServerError) large.failure ??= reply;
        });
      }
    large.size += count;
    if (isLast) await this.writer.settled();
    if (large.failure !== undefined) {
      await this.writer.settled();
      this.tally.refuse(keyText(database, key), large.failure.message);
      large.isRefused = true;
      await this.once(database, ['UNLINK', large.key]);
      return;
    }
    if (!isLast) return;
    if (expiresMs !== undefined) await this.once(database, ['PEXPIREAT', large.key, expiresMs]);
    const renamed = await this.once(database, ['RENAME', large.key, key]);
    // A second try finds nothing to rename when the first one did it.
    if (renamed instanceof ServerError && !/no such key/i.test(renamed.message))
      this.tally.refuse(keyText(database, key), renamed.message);
    else {
      this.tally.written += 1;
      this.tally.inParts += 1;
    }
  }

  /** A name in the slot of the key, where its braces allow it. */
  private nameFor(key: Buffer): Buffer {
    this.largeValues += 1;
    const suffix = Buffer.from(`:kvorum-import:${this.options.runId}:${this.largeValues}`);
    const open = key.indexOf('{');
    const close = open < 0 ? -1 : key.indexOf('}', open + 1);
    if (close > open + 1) return Buffer.concat([key.subarray(open, close + 1), suffix]);
    if (key.length === 0 || key.includes('}')) return suffix;
    return Buffer.concat([Buffer.from('{'), key, Buffer.from('}'), suffix]);
  }

  /** Sends a command that may take effect twice. @returns its answer, an error as a value */
  private async once(database: number, command: CommandLine): Promise<unknown> {
    const [reply] = await ask(this.lane, this.writer.options.giveUpMs, database, [command]);
    return reply;
  }

  /**
   * Adds elements to a list, where a second time is one too many: it looks whether the first time took effect.
   * @returns a refusal
   */
  private async addOnce(
    database: number,
    add: CommandLine,
    size: CommandLine,
    sizeBefore: number,
  ): Promise<ServerError | undefined> {
    let isOpen = false;
    const reply = await untilTaken(this.writer.options.giveUpMs, async () => {
      if (isOpen) {
        await delay(SETTLE_MS);
        const [now] = await answersOf(this.lane, database, [size]);
        if (now !== sizeBefore) return now;
      }
      isOpen = true;
      const [answer] = await answersOf(this.lane, database, [add]);
      return answer;
    });
    return reply instanceof ServerError ? reply : undefined;
  }
}

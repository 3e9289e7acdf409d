/** Brings what a file of Redis has into a cluster: whole values by RESTORE, large ones in parts that nobody sees until they are all there. */
import { framePayload, type RdbKey, type RdbRecord } from '../../src/adapter/redis/index.ts';
import { type CommandLine, Lane, ServerError } from '../redis/index.ts';
import { Completions } from './completions.ts';
import { recordsOf } from './records.ts';
import { keyText, type Tally } from './tally.ts';
import { ValueInParts } from './value-in-parts.ts';
import { ask, type Writer } from './writer.ts';

/** What happens to keys that the cluster has already. */
export type Existing = 'refuse' | 'replace' | 'keep';

type Part = Extract<RdbRecord, { kind: 'part' }>;
type Whole = Extract<RdbRecord, { kind: 'value' }>;

export interface LoadOptions {
  readonly existing: Existing;
  /** Bytes of the file whose keys are in the cluster already. */
  readonly skipBytes: number;
  readonly nowMs: () => number;
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
  /** Whose parts come; undefined when they are not wanted. */
  private large: ValueInParts | undefined;
  private readonly ending = new Set<Promise<void>>();

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
    await Promise.all(this.ending);
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
        return this.putPart(record, position);
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

  /** Elements of a value that is put together under another name, beside others. */
  private async putPart(record: Part, position: number): Promise<void> {
    const { database, key, value, isFirst, isLast } = record;
    if (isFirst) {
      const isKept = this.options.existing === 'keep' && (await this.once(database, ['EXISTS', key])) === 1;
      if (isKept) this.tally.kept += 1;
      else if (this.hasExpired(record)) this.tally.expired += 1;
      this.large = isKept || this.hasExpired(record) ? undefined : new ValueInParts(this.writer, database, key);
    }
    await this.large?.add(value);
    if (!isLast) return;
    const complete = this.completions.begin(position);
    const { large } = this;
    this.large = undefined;
    if (large === undefined) {
      complete();
      return;
    }
    const ending = this.endValue(large, record, complete)
      .catch((error: unknown) => this.writer.fail(error))
      .finally(() => this.ending.delete(ending));
    this.ending.add(ending);
  }

  private async endValue(large: ValueInParts, { database, key, expiresMs }: Part, complete: () => void): Promise<void> {
    const refusal = await large.end(expiresMs);
    if (refusal !== undefined) this.tally.refuse(keyText(database, key), refusal.message);
    else {
      this.tally.written += 1;
      this.tally.inParts += 1;
    }
    complete();
  }

  /** Sends a command that may take effect twice. @returns its answer, an error as a value */
  private async once(database: number, command: CommandLine): Promise<unknown> {
    const [reply] = await ask(this.lane, this.writer.options.giveUpMs, database, [command]);
    return reply;
  }
}

/** Stores the changes of one group between two moments as a part, in one stream that never has more than a block of it in memory. */
import type { ByteRateLimit, GroupId, Millis, Random } from '../../platform/index.ts';
import type { BlockCompression, ExportedVersion } from '../../store/index.ts';
import { type ChangeLog, encodePart, newPartName, type PartTally } from '../format/index.ts';
import { limited } from './upload-copy.ts';
import type { ChangesOrder, StoredChanges } from './write-step.ts';

/** Changes, as whoever leads the group reads them. */
export interface ReadGroupChanges {
  readonly spans: StoredChanges['spans'];
  readonly pages: AsyncIterable<readonly ExportedVersion[]>;
  /** To be called behind the last page. @throws when they may not be all */
  confirm(): Promise<{ readonly ceilingMs: Millis }>;
}

export interface StoreChangesOptions {
  readonly log: ChangeLog;
  readonly group: GroupId;
  readonly order: ChangesOrder;
  readonly changes: ReadGroupChanges;
  readonly compression: BlockCompression;
  readonly limit: ByteRateLimit;
  readonly random: Random;
  /** Told of bytes that were stored so far. */
  readonly onBytes?: (bytes: number) => void;
  readonly signal: AbortSignal;
}

/** See the top of the file. @throws errors of the store; what `confirm` throws; what the signal was aborted with */
export async function storeChanges(options: StoreChangesOptions): Promise<StoredChanges> {
  const { log, group, order, changes, compression, limit, random, onBytes, signal } = options;
  const tally: PartTally = { versions: 0, bytes: 0 };
  const pieces = encodePart(changes.pages, compression, tally);
  const first = await pieces.next();
  let part: StoredChanges['part'];
  if (!first.done) {
    let stored = 0;
    const all = async function* (): AsyncGenerator<Buffer> {
      yield first.value;
      yield* pieces;
    };
    const counted = async function* (): AsyncGenerator<Buffer> {
      for await (const piece of limited(all(), limit, signal)) {
        stored += piece.length;
        onBytes?.(stored);
        yield piece;
      }
    };
    const name = newPartName(order.attempt, group, random);
    const written = await log.putPart(order.chain, order.seq, name, counted(), signal);
    part = { group, ...tally, ...written };
  }
  const { ceilingMs } = await changes.confirm();
  return { part, spans: changes.spans, ceilingMs };
}

/** What a command sees while writers are kept apart: the rows that it writes are noted. */
import type { KeyView } from '../../../kv/index.ts';
import type { HlcTimestamp } from '../../../platform/index.ts';
import { PassingView } from '../command/index.ts';
import { headOf } from '../keys/index.ts';
import type { WrittenRows } from '../tracking/index.ts';

export class WrittenRowsView extends PassingView implements WrittenRows {
  readonly rows = new Map<string, string>();
  private readonly writtenTs: HlcTimestamp;

  constructor(view: KeyView) {
    super(view);
    this.writtenTs = view.ts;
  }

  /** The view goes on to other commands, at other times. */
  override get ts(): HlcTimestamp {
    return this.writtenTs;
  }

  override put(key: Buffer, value: Buffer, expireTs: HlcTimestamp): void {
    this.note(key);
    super.put(key, value, expireTs);
  }

  override delete(key: Buffer): void {
    this.note(key);
    super.delete(key);
  }

  override deleteRange(start: Buffer, end: Buffer): void {
    this.note(start);
    super.deleteRange(start, end);
  }

  private note(row: Buffer): void {
    const head = headOf(row);
    if (head !== undefined) this.rows.set(row.toString('latin1'), head.userKey.toString('latin1'));
  }
}

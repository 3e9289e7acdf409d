/** What a command sees while writers are kept apart: the rows that it writes are noted. */
import type { KeyView, LiveValue } from '../../../kv/index.ts';
import type { HlcTimestamp } from '../../../platform/index.ts';
import { headOf } from '../keys/index.ts';
import type { WrittenRows } from '../tracking/index.ts';

export class WrittenRowsView implements KeyView, WrittenRows {
  readonly prefetch: KeyView['prefetch'];
  readonly isElsewhere: KeyView['isElsewhere'];
  readonly deletedAt: KeyView['deletedAt'];
  readonly writtenAt: KeyView['writtenAt'];
  readonly ts: HlcTimestamp;
  readonly rows = new Map<string, string>();
  private readonly view: KeyView;

  constructor(view: KeyView) {
    this.view = view;
    // The view goes on to other commands, at other times.
    this.ts = view.ts;
    this.prefetch = view.prefetch?.bind(view);
    this.isElsewhere = view.isElsewhere?.bind(view);
    this.deletedAt = view.deletedAt?.bind(view);
    this.writtenAt = view.writtenAt?.bind(view);
  }

  get hasWholeObjects(): boolean {
    return this.view.hasWholeObjects === true;
  }

  get(key: Buffer): LiveValue | undefined {
    return this.view.get(key);
  }

  put(key: Buffer, value: Buffer, expireTs: HlcTimestamp): void {
    this.note(key);
    this.view.put(key, value, expireTs);
  }

  delete(key: Buffer): void {
    this.note(key);
    this.view.delete(key);
  }

  deleteRange(start: Buffer, end: Buffer): void {
    this.note(start);
    this.view.deleteRange(start, end);
  }

  private note(row: Buffer): void {
    const head = headOf(row);
    if (head !== undefined) this.rows.set(row.toString('latin1'), head.userKey.toString('latin1'));
  }
}

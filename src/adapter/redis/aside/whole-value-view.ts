/** What a command sees that writes a whole value, until it turns out that the value has to be built aside. */
import type { KeyView, LiveValue } from '../../../kv/index.ts';
import type { HlcTimestamp } from '../../../platform/index.ts';
import { BuildAsideError } from './errors.ts';

/** A value of more rows is built aside: evaluating, replicating and applying so many holds a leader up for a tenth of a second. */
export const MAX_ROWS_AT_ONCE = 4_096;

/** A view that counts what is written. */
export class WholeValueView implements KeyView {
  /** As the view has it: bodies look whether rows are brought from afar. */
  readonly prefetch: KeyView['prefetch'];
  private readonly view: KeyView;
  private written = 0;

  constructor(view: KeyView) {
    this.view = view;
    this.prefetch = view.prefetch?.bind(view);
  }

  get ts(): HlcTimestamp {
    return this.view.ts;
  }

  get(key: Buffer): LiveValue | undefined {
    return this.view.get(key);
  }

  /** @throws BuildAsideError when there are too many */
  put(key: Buffer, value: Buffer, expireTs: HlcTimestamp): void {
    if (++this.written > MAX_ROWS_AT_ONCE) throw new BuildAsideError();
    this.view.put(key, value, expireTs);
  }

  delete(key: Buffer): void {
    this.view.delete(key);
  }

  deleteRange(start: Buffer, end: Buffer): void {
    this.view.deleteRange(start, end);
  }
}

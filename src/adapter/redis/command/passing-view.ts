/** What a command sees through somebody who listens: everything as the view below has it. Whoever listens overrides what it hears of. */
import type { KeyView, LiveValue } from '../../../kv/index.ts';
import type { HlcTimestamp } from '../../../platform/index.ts';

export abstract class PassingView implements KeyView {
  readonly prefetch: KeyView['prefetch'];
  readonly isElsewhere: KeyView['isElsewhere'];
  readonly works: KeyView['works'];
  readonly deletedAt: KeyView['deletedAt'];
  readonly writtenAt: KeyView['writtenAt'];
  protected readonly view: KeyView;

  constructor(view: KeyView) {
    this.view = view;
    this.prefetch = view.prefetch?.bind(view);
    this.isElsewhere = view.isElsewhere?.bind(view);
    this.works = view.works?.bind(view);
    this.deletedAt = view.deletedAt?.bind(view);
    this.writtenAt = view.writtenAt?.bind(view);
  }

  get ts(): HlcTimestamp {
    return this.view.ts;
  }

  get hasWholeObjects(): boolean {
    return this.view.hasWholeObjects === true;
  }

  get(key: Buffer): LiveValue | undefined {
    return this.view.get(key);
  }

  put(key: Buffer, value: Buffer, expireTs: HlcTimestamp): void {
    this.view.put(key, value, expireTs);
  }

  delete(key: Buffer): void {
    this.view.delete(key);
  }

  deleteRange(start: Buffer, end: Buffer): void {
    this.view.deleteRange(start, end);
  }
}
